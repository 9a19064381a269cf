import { type Logger, messageOf } from "@banyan/kernel";
import type { ExitStatus } from "@banyan/runtime";
import type { RunningSandbox } from "../ports.ts";

/** What a shell makes of a command that ended by SIGKILL. */
const SHELL_SIGKILL_CODE = 128 + 9;

/**
 * Counts from now on. The first look waits until the command is on its way to init, and so overlaps with its start; the second is
 * taken only where SIGKILL ended it, which is the only way the kernel ends a process for memory.
 */
export function watchOom(sandbox: RunningSandbox, logger: Logger): (exit: ExitStatus) => Promise<boolean> {
  const count = () =>
    sandbox.oomKills().catch((thrown: unknown) => {
      logger.warn({ sandboxId: sandbox.sandboxId, reason: messageOf(thrown) }, "the count of memory kills cannot be read");
      return null;
    });
  const before = new Promise((resolve) => setImmediate(resolve)).then(count);
  return async (exit) => {
    if (exit.signal !== "SIGKILL" && exit.code !== SHELL_SIGKILL_CODE) return false;
    const [first, second] = [await before, await count()];
    return first !== null && second !== null && second > first;
  };
}
