import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { fault, OBJECT_STORE, type Remote } from "@banyan/contracts";
import { tryCommand } from "../host/command.ts";
import { checkRemote, obscuredSecrets, withoutSecrets } from "./remote-options.ts";

/** How long one request to the store may take, and how often it is tried: what a sandbox waits at most before it gets an I/O error. */
const REQUEST_LIMITS = ["--timeout=15s", "--contimeout=5s", "--retries=1", "--low-level-retries=3"] as const;
const LOOK_TIMEOUT_MS = 30_000;
const RETRY_AFTER_MS = 5_000;
const REASON_CHARS_MAX = 400;
/** In the words of stores that answer, and do not let us in. */
const REFUSED = /status code: 40[0-4]|\b40[13] |AccessDenied|AuthenticationFailed|unable to authenticate|Unauthorized|Forbidden/;
const NAME = "volume";
const HOST_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** Why no object volume can be mounted on this host; null: it can. */
export function rcloneLack(): string | null {
  const programs = ["rclone", "fusermount3"].filter((name) => !HOST_PATH.split(delimiter).some((path) => existsSync(join(path, name))));
  if (programs.length > 0) return `${programs.join(" and ")} not installed (packages rclone and fuse3)`;
  return existsSync("/dev/fuse") ? null : "this kernel has no /dev/fuse";
}

/** `volume:bucket/prefix`, as rclone is told. */
export const remoteName = ({ path }: Remote): string => `${NAME}:${path}`;

/**
 * The environment of an rclone for this remote: its secrets are neither on a command line nor in a file. Nothing of our own environment is in it, so
 * neither are the host's credentials.
 */
export async function rcloneEnvironment(remote: Remote): Promise<NodeJS.ProcessEnv> {
  checkRemote(remote);
  const obscured = obscuredSecrets(remote.type);
  const secrets: Record<string, string> = {};
  for (const [name, value] of Object.entries(remote.secrets)) secrets[name] = obscured.includes(name) ? await obscure(value) : value;
  const settings = Object.entries({ type: remote.type, ...remote.options, ...secrets });
  return {
    PATH: HOST_PATH,
    HOME: "/nonexistent",
    LC_ALL: "C",
    // No file of the host's says anything.
    RCLONE_CONFIG: "/dev/null",
    ...Object.fromEntries(settings.map(([name, value]) => [`RCLONE_CONFIG_${NAME.toUpperCase()}_${name.toUpperCase()}`, value])),
  };
}

async function obscure(secret: string): Promise<string> {
  const { exitCode, stdout } = await tryCommand("rclone", ["obscure", "-"], { stdin: secret });
  if (exitCode !== 0) throw fault("internal", {}, { message: "rclone could not take a secret" });
  return stdout.trim();
}

/**
 * Looks once whether the remote can be read, so that wrong credentials are told at once and not by every later I/O. Throws request.invalid where the
 * store does not let us in, volume.unreachable where it does not answer.
 */
export async function checkReachable(remote: Remote): Promise<void> {
  const args = ["lsf", lookedAt(remote), "--max-depth=1", "--log-level=ERROR", ...REQUEST_LIMITS];
  const { exitCode, stderr } = await tryCommand("rclone", args, { env: await rcloneEnvironment(remote), timeoutMs: LOOK_TIMEOUT_MS });
  if (exitCode === 0 || /directory not found/.test(stderr)) return;
  const reason = exitCode === null ? `no answer within ${LOOK_TIMEOUT_MS} ms` : withoutSecrets(reasonIn(stderr), remote);
  if (!REFUSED.test(stderr)) throw objectsUnreachable(reason);
  throw fault("request.invalid", { issues: [{ path: ["remote"], message: `the store refuses us: ${reason.slice(0, REASON_CHARS_MAX)}` }] });
}

/** Something that is not there, for all that there is may take long to list. Without a bucket's name: the list of buckets. */
const lookedAt = (remote: Remote): string =>
  remote.path === "" ? remoteName(remote) : `${remoteName(remote).replace(/\/+$/, "")}/.banyan-look`;

export interface MountArgs {
  remote: Remote;
  mountPoint: string;
  cacheDir: string;
  cacheMb: number;
  logPath: string;
}

/**
 * `mount2`, for its extended attributes answer that there are none, where those of `mount` fail with EIO and nothing can be stacked on it. What is written
 * goes to the store a second after the file was closed.
 */
export const mountArgs = ({ remote, mountPoint, cacheDir, cacheMb, logPath }: MountArgs): string[] => [
  "mount2",
  remoteName(remote),
  mountPoint,
  "--allow-other",
  "--umask=022",
  "--vfs-cache-mode=writes",
  "--vfs-write-back=1s",
  `--cache-dir=${cacheDir}`,
  `--vfs-cache-max-size=${cacheMb}M`,
  "--vfs-cache-max-age=1h",
  "--dir-cache-time=5s",
  "--attr-timeout=1s",
  "--buffer-size=4M",
  ...REQUEST_LIMITS,
  // Why it could not be mounted, and nothing of what follows: the log of a store that is away would grow without end, and name a URL that is a secret.
  "--log-level=CRITICAL",
  `--log-file=${logPath}`,
];

/** Of a volume that is still being made, the message is all that is told. */
export function objectsUnreachable(said: string): Error {
  const reason = said.slice(0, REASON_CHARS_MAX);
  const details = { store: OBJECT_STORE, reason, retryAfterMs: RETRY_AFTER_MS };
  return fault("volume.unreachable", details, { message: `The volume's store does not answer: ${reason}` });
}

/** What the store said, in one line, without the times and requests around it and without what a request asks for. */
function reasonIn(text: string): string {
  const last = /last error was: (.+)/s.exec(text)?.[1] ?? text.trim().split("\n").at(-1) ?? "";
  return last
    .replace(/^error in ListJSON: /, "")
    .replaceAll(/(https?:[^\s"?]*)\?[^\s"]*/g, "$1")
    .replaceAll(/\s+/g, " ")
    .trim();
}
