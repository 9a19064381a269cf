import type { Bus } from "@banyan/bus";
import { SandboxDied } from "@banyan/contracts";
import { type Clock, type Logger, messageOf } from "@banyan/kernel";
import { startLoop } from "@banyan/service";
import type { JournalEntry } from "../sandboxes/journal.ts";

/** More than this are not remembered: the scheduler's own comparison with the node's list finds them. */
const PENDING_MAX = 10_000;
const RETRY_MS = 1_000;

interface Death {
  entry: JournalEntry;
  reason: string;
  at: number;
}

/** Says that sandboxes died, again and again until the bus has taken it. */
export function sayDied(
  bus: Bus,
  nodeId: string,
  parts: { clock: Clock; logger: Logger },
): { say(entry: JournalEntry, reason: string): void; stop(): Promise<void> } {
  const pending: Death[] = [];
  let flushing: Promise<void> | null = null;
  const flush = async () => {
    for (let death = pending[0]; death !== undefined; death = pending[0]) {
      const { entry, reason, at } = death;
      const { sandboxId, epoch } = entry;
      try {
        await bus.emit(SandboxDied, sandboxId, { sandboxId, nodeId, epoch, reason, at }, { dedupeId: `${sandboxId}.${epoch}.died` });
      } catch (error) {
        parts.logger.warn({ sandboxId, reason: messageOf(error) }, "could not say that a sandbox died; tried again soon");
        return;
      }
      pending.shift();
    }
  };
  const flushOnce = () => {
    flushing ??= flush().finally(() => {
      flushing = null;
    });
    return flushing;
  };
  const loop = startLoop({ name: "say-died", everyMs: RETRY_MS, ...parts, round: flushOnce });
  return {
    say(entry, reason) {
      if (pending.length < PENDING_MAX) pending.push({ entry, reason, at: parts.clock.now() });
      void flushOnce();
    },
    stop: () => loop.stop(),
  };
}
