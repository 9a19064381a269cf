import type { api } from "@banyan/contracts";
import type { ExitStatus } from "@banyan/runtime";
import type { z } from "zod";

export type ExecEnd = z.infer<typeof api.ExecEnd>;

interface Seen {
  oomKilled: boolean;
  /** Whether the reader got less than was produced. */
  stdoutCut: boolean;
  stderrCut: boolean;
}

export function execEnd(exit: ExitStatus, { oomKilled, stdoutCut, stderrCut }: Seen): ExecEnd {
  return {
    exit_code: exit.code,
    signal: exit.signal,
    timed_out: exit.timedOut,
    oom_killed: oomKilled,
    duration_ms: exit.durationUs / 1000,
    stdout_bytes: exit.stdoutBytes,
    stderr_bytes: exit.stderrBytes,
    stdout_truncated: stdoutCut,
    stderr_truncated: stderrCut,
  };
}
