import { shellQuote as quote } from "../domain/scripts.ts";
import type { HostAccess } from "./host-access.ts";

/** Docker mounts it in every container, in memory: what is written there is in no layer. */
const BUILD_DIR = "/dev/shm/banyan-build";
export const SECRETS_DIR = "/run/secrets";

/**
 * The command of every step's container. What the step is comes through its stdin, so that neither the container's own configuration, which
 * `docker inspect` shows and a commit keeps, nor the list of processes ever holds a secret. What is read becomes the step and does not come
 * back: whoever gets past it has read nothing, as in an image without `cat`, and a step that never ran must not count as done.
 */
export const STEP_COMMAND = ["/bin/sh", "-c", 'eval "$(cat)"; exit 127'];

export interface StepInput {
  script: string;
  secrets: Record<string, string>;
  access: HostAccess;
  network: "open" | "closed";
}

/** What makes ready, then becomes the step itself: a shell that stops at the first command that fails, with nothing to read. */
export function stepInput({ script, secrets, access, network }: StepInput): string {
  return [
    "set -e",
    "umask 022",
    ...(network === "open" ? reachArchives(access) : []),
    ...Object.entries(secrets).flatMap(([name, value]) => giveSecret(name, value)),
    `exec /bin/sh -ec ${quote(script)} < /dev/null`,
  ].join("\n");
}

/** Variables that make common tools trust a file of certificates. */
const TRUST_VARIABLES = ["SSL_CERT_FILE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "PIP_CERT", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"];

function reachArchives({ proxies, certificates, aptOptions }: HostAccess): string[] {
  const apt = [...aptOptions, ...(certificates === "" ? [] : [`Acquire::https::CaInfo "${BUILD_DIR}/certificates.pem";`])];
  return [
    `mkdir -p ${BUILD_DIR}`,
    ...Object.entries(proxies).map(([name, value]) => `export ${name}=${quote(value)}`),
    ...(certificates === "" ? [] : trust(certificates)),
    ...(apt.length === 0
      ? []
      : [`printf '%s\\n' ${apt.map(quote).join(" ")} > ${BUILD_DIR}/apt.conf`, `export APT_CONFIG=${BUILD_DIR}/apt.conf`]),
  ];
}

function trust(certificates: string): string[] {
  const file = `${BUILD_DIR}/certificates.pem`;
  return [
    // Those of the image stay in force.
    `{ cat /etc/ssl/certs/ca-certificates.crt 2> /dev/null || :; printf '%s\\n' ${quote(certificates)}; } > ${file}`,
    ...TRUST_VARIABLES.map((name) => `export ${name}=${file}`),
  ];
}

function giveSecret(name: string, value: string): string[] {
  const path = `${SECRETS_DIR}/${name}`;
  return [`(umask 077; printf '%s' ${quote(value)} > ${path}; chmod 0400 ${path})`, `export ${name}=${quote(value)}`];
}
