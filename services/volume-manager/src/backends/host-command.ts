import { spawn } from "node:child_process";
import { fault } from "@banyan/contracts";
import type { AppError } from "@banyan/kernel";

export interface HostCommandOptions {
  timeoutMs?: number;
  signal?: AbortSignal;
  onStart?: (pid: number) => void;
}

const TIMEOUT_MS = 30_000;
/** After it was killed: what hangs in the kernel does not end even then, and is left behind. */
const END_MS = 5_000;
const OUTPUT_BYTES_MAX = 64 * 1024;
const RETRY_AFTER_MS = 5_000;
const ENVIRONMENT = { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL: "C" };

const NO_SPACE = /No space left on device|Disk quota exceeded/;
const UNREACHABLE =
  /Input\/output error|Stale file handle|Transport endpoint is not connected|Host is down|Connection timed out|Read-only file system/;

/**
 * Everything that touches a store is done by processes beside: one that hangs there takes none of our threads, and one of a volume-manager that was
 * killed ends with it.
 */
export function hostCommand(argv: readonly string[], options: HostCommandOptions = {}): Promise<string> {
  const { timeoutMs = TIMEOUT_MS, signal } = options;
  signal?.throwIfAborted();
  return new Promise((resolve, reject) => {
    const child = spawn("setpriv", ["--pdeathsig", "KILL", "--", ...argv], { stdio: ["ignore", "pipe", "pipe"], env: ENVIRONMENT });
    const said = { out: "", err: "" };
    child.stdout.on("data", (chunk: Buffer) => collect(said, "out", chunk));
    child.stderr.on("data", (chunk: Buffer) => collect(said, "err", chunk));
    let cut: unknown = null;
    let giveUp: NodeJS.Timeout | undefined;
    const end = (reason: unknown): void => {
      cut ??= reason;
      child.kill("SIGKILL");
      giveUp = setTimeout(() => settle(() => reject(cut)), END_MS);
    };
    const timer = setTimeout(() => end(unreachable(argv, `did not end within ${timeoutMs} ms`)), timeoutMs);
    const onAbort = (): void => end(signal?.reason);
    signal?.addEventListener("abort", onAbort, { once: true });
    const settle = (how: () => void): void => {
      clearTimeout(timer);
      clearTimeout(giveUp);
      signal?.removeEventListener("abort", onAbort);
      how();
    };
    child.once("error", (cause) => settle(() => reject(fault("internal", { argv }, { cause, message: `${argv[0]} cannot be run` }))));
    child.once("close", (code) =>
      settle(() => {
        if (cut !== null) reject(cut);
        else if (code === 0) resolve(said.out);
        else reject(failureOf(argv, said.err));
      }),
    );
    if (child.pid !== undefined) options.onStart?.(child.pid);
  });
}

const unreachable = (argv: readonly string[], why: string): AppError =>
  fault(
    "volume.unreachable",
    { command: argv[0], retryAfterMs: RETRY_AFTER_MS },
    { message: `The volume's store does not answer: ${why}.` },
  );

function failureOf(argv: readonly string[], said: string): AppError {
  const last = said.trim().split("\n").slice(-3).join("; ").slice(0, 500);
  if (NO_SPACE.test(said)) return fault("volume.no_space", {}, { cause: new Error(last) });
  if (UNREACHABLE.test(said)) return unreachable(argv, last);
  return fault("internal", { argv, said: last }, { message: `${argv[0]} failed: ${last}` });
}

function collect(said: { out: string; err: string }, stream: "out" | "err", chunk: Buffer): void {
  if (said[stream].length < OUTPUT_BYTES_MAX) said[stream] += chunk.toString("utf8");
}
