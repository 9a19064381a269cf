import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** How this host reaches package archives, for steps that must go the same way. Public certificates and addresses; no credentials. */
export interface HostAccess {
  /** `http_proxy` and its like, as the steps see them. */
  proxies: Record<string, string>;
  /** Certificates this host trusts beyond the usual, PEM. */
  certificates: string;
  /** Lines of apt.conf. */
  aptOptions: string[];
}

/** Where an operator puts certificates of their own: Debian, Red Hat. */
const CERTIFICATE_DIRS = ["/usr/local/share/ca-certificates", "/etc/pki/ca-trust/source/anchors"];
const CERTIFICATE_FILES_MAX = 50;
const APT_OPTION = /^Acquire::(https?::Proxy|Check-Valid-Until|Check-Date|Retries) "[^"\n]*";$/;
const APT_CONFIG_MS = 5_000;

export const NO_ACCESS: HostAccess = { proxies: {}, certificates: "", aptOptions: [] };

/** Read once, at the start of the service. */
export function readHostAccess(proxies: Record<string, string>): HostAccess {
  return { proxies, certificates: ownCertificates(), aptOptions: ownAptOptions() };
}

function ownCertificates(): string {
  return CERTIFICATE_DIRS.filter((directory) => existsSync(directory))
    .flatMap((directory) => readdirSync(directory).map((name) => join(directory, name)))
    .filter((path) => /\.(crt|pem)$/.test(path))
    .slice(0, CERTIFICATE_FILES_MAX)
    .map((path) => readFileSync(path, "utf8").trim())
    .join("\n");
}

/** What apt itself says of its configuration; nothing where there is no apt. */
function ownAptOptions(): string[] {
  const dump = spawnSync("apt-config", ["dump"], { encoding: "utf8", timeout: APT_CONFIG_MS });
  return aptOptionsOf(dump.status === 0 ? dump.stdout : "");
}

export function aptOptionsOf(dump: string): string[] {
  return dump.split("\n").filter((line) => APT_OPTION.test(line));
}
