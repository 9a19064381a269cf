import { fault, type Remote } from "@banyan/contracts";

interface Known {
  options: readonly string[];
  secrets: readonly string[];
  obscured?: readonly string[];
  /** Without any of its secrets rclone takes those of the host. */
  needsSecret?: boolean;
}

/** What rclone may be told of each type of remote, and which of it is secret. All else reads files, runs commands or takes what the host itself may do. */
const REMOTE_OPTIONS: Record<Remote["type"], Known> = {
  s3: {
    options: [
      "provider",
      "endpoint",
      "region",
      "location_constraint",
      "force_path_style",
      "storage_class",
      "server_side_encryption",
      "acl",
      "v2_auth",
    ],
    secrets: ["access_key_id", "secret_access_key", "session_token"],
  },
  azureblob: { options: ["account", "endpoint", "access_tier"], secrets: ["key", "sas_url"] },
  b2: { options: ["account", "endpoint", "hard_delete"], secrets: ["key"] },
  swift: {
    options: ["user", "auth", "user_id", "domain", "tenant", "tenant_id", "tenant_domain", "region", "auth_version", "endpoint_type"],
    secrets: ["key", "application_credential_secret", "application_credential_id"],
  },
  webdav: { options: ["url", "vendor", "user"], secrets: ["pass", "bearer_token"], obscured: ["pass"] },
  sftp: { options: ["host", "user", "port", "shell_type"], secrets: ["pass", "key_pem"], obscured: ["pass"], needsSecret: true },
};

const QUERY_SECRET_CHARS_MIN = 16;
const NAMED_USER = "holds a user or a password: options are answered to whoever may see the volume, so give these in `secrets`";

/** Refuses what is not listed, by name. `env_auth` is not: a volume never takes the rights of the host it is mounted on. */
export function checkRemote({ type, options, secrets }: Remote): void {
  const known = REMOTE_OPTIONS[type];
  const issues = [
    ...Object.keys(options).flatMap((name) => {
      if (known.options.includes(name))
        return namesUser(options[name] ?? "") ? [{ path: ["remote", "options", name], message: NAMED_USER }] : [];
      const message = known.secrets.includes(name) ? "is a secret: give it in `secrets`" : `\`${type}\` takes ${known.options.join(", ")}`;
      return [{ path: ["remote", "options", name], message }];
    }),
    ...Object.keys(secrets)
      .filter((name) => !known.secrets.includes(name))
      .map((name) => ({ path: ["remote", "secrets", name], message: `\`${type}\` takes ${known.secrets.join(", ")}` })),
    ...(known.needsSecret && Object.keys(secrets).length === 0
      ? [{ path: ["remote", "secrets"], message: `\`${type}\` needs one of ${known.secrets.join(", ")}` }]
      : []),
  ];
  if (issues.length > 0) throw fault("request.invalid", { issues });
}

/** What a store or rclone said, with whatever of a secret it repeats taken out: the requests of some stores carry it in their URL. */
export function withoutSecrets(said: string, { secrets }: Remote): string {
  return Object.values(secrets)
    .flatMap(formsOf)
    .filter((form) => form !== "")
    .sort((one, other) => other.length - one.length)
    .reduce((text, form) => text.replaceAll(form, "…"), said);
}

/** As it is, as it stands in a URL, and each long value of its query where it is a URL itself: the short ones say what it permits. */
function formsOf(secret: string): string[] {
  const query = URL.canParse(secret) ? [...new URL(secret).searchParams.values()] : [];
  const values = query.filter(({ length }) => length >= QUERY_SECRET_CHARS_MIN);
  return [secret, ...values].flatMap((value) => [value, encodeURIComponent(value), new URLSearchParams({ "": value }).toString().slice(1)]);
}

const namesUser = (value: string): boolean => {
  const url = URL.canParse(value) ? new URL(value) : null;
  return url !== null && (url.username !== "" || url.password !== "");
};

/** Which secrets rclone expects in its own reversible form. */
export const obscuredSecrets = (type: Remote["type"]): readonly string[] => REMOTE_OPTIONS[type].obscured ?? [];
