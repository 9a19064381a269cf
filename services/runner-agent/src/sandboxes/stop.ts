import { fault, type InputOf, type NodeStop, type OutputOf } from "@banyan/contracts";
import { messageOf } from "@banyan/kernel";
import { readProcessCount } from "@banyan/runtime";
import { endRun } from "./end-run.ts";
import type { NodeParts } from "./parts.ts";
import type { Run } from "./registry.ts";

const GRACE_POLL_MS = 20;
/** init alone. */
const PROCESSES_OF_INIT = 1;

export async function stopSandbox(parts: NodeParts, input: InputOf<typeof NodeStop>): Promise<OutputOf<typeof NodeStop>> {
  const { sandboxId, epoch, graceMs, idleSince } = input;
  if (idleSince === null) parts.interrupts.interrupt(sandboxId, epoch);
  return parts.turns.take(sandboxId, async () => {
    const known = parts.registry.get(sandboxId);
    if (known === undefined) return { outcome: "absent" };
    if (epoch < known.entry.epoch) throw fault("sandbox.stale_epoch", { sandboxId, epoch: known.entry.epoch });
    if (idleSince !== null && parts.registry.isActiveSince(known, idleSince)) return { outcome: "active" };
    if (known.run !== null) {
      await askToEnd(parts, known.run, graceMs);
      await endRun(parts, sandboxId);
    }
    overtake(parts, sandboxId, epoch);
    return { outcome: "stopped" };
  });
}

/** Gives the processes the chance to end by themselves. A delete cuts it short. */
async function askToEnd({ clock, interrupts, logger }: NodeParts, { slot, view }: Run, graceMs: number): Promise<void> {
  const isIdle = () => readProcessCount(slot.cgroups) <= PROCESSES_OF_INIT;
  if (graceMs === 0 || isIdle()) return;
  const deadline = clock.monotonicMs() + graceMs;
  try {
    await interrupts.waitFor(view.sandboxId, view.epoch, async (signal) => {
      await view.init.killAll({ signal: "SIGTERM" });
      while (!isIdle() && clock.monotonicMs() < deadline) await clock.sleep(GRACE_POLL_MS, signal);
    });
  } catch (error) {
    // Whatever keeps it from ending nicely, it is killed next.
    logger.debug({ sandboxId: view.sandboxId, reason: messageOf(error) }, "the grace of a stop was cut short");
  }
}

/** A stop of a later epoch than the node has seen means a start that is still on its way: it will come too late. */
function overtake({ registry, journal }: NodeParts, sandboxId: string, epoch: number): void {
  const entry = registry.get(sandboxId)?.entry;
  if (entry === undefined || entry.epoch >= epoch) return;
  const overtaken = { ...entry, epoch };
  journal.write(overtaken);
  registry.setStopped(overtaken);
}
