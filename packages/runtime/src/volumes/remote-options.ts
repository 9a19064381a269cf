import { fault, type Remote } from "@banyan/contracts";

/** What rclone may be told of each type of remote, and which of it is secret. All else reads files, runs commands or takes what the host itself may do. */
const REMOTE_OPTIONS: Record<Remote["type"], { options: readonly string[]; secrets: readonly string[]; obscured?: readonly string[] }> = {
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
  sftp: { options: ["host", "user", "port", "shell_type"], secrets: ["pass", "key_pem"], obscured: ["pass"] },
};

/** Refuses what is not listed, by name. `env_auth` is not: a volume never takes the rights of the host it is mounted on. */
export function checkRemote({ type, options, secrets }: Remote): void {
  const known = REMOTE_OPTIONS[type];
  const issues = [
    ...Object.keys(options).flatMap((name) => {
      if (known.options.includes(name)) return [];
      const message = known.secrets.includes(name) ? "is a secret: give it in `secrets`" : `\`${type}\` takes ${known.options.join(", ")}`;
      return [{ path: ["remote", "options", name], message }];
    }),
    ...Object.keys(secrets)
      .filter((name) => !known.secrets.includes(name))
      .map((name) => ({ path: ["remote", "secrets", name], message: `\`${type}\` takes ${known.secrets.join(", ")}` })),
  ];
  if (issues.length > 0) throw fault("request.invalid", { issues });
}

/** Which secrets rclone expects in its own reversible form. */
export const obscuredSecrets = (type: Remote["type"]): readonly string[] => REMOTE_OPTIONS[type].obscured ?? [];
