import type { Slot } from "@banyan/runtime";
import type { NodeParts } from "./parts.ts";

/** The kernel needs this long at most to end a slot's processes and release its mounts, a flush of what they wrote included. */
const KILL_TIMEOUT_MS = 30_000;

/** Ends what runs of a sandbox, at once. The disk stays; the slot is given up. Nothing running is success. */
export async function endRun(parts: NodeParts, sandboxId: string): Promise<void> {
  const run = parts.registry.get(sandboxId)?.run;
  if (!run) return;
  await parts.attach.kill({ pid: run.slot.pid, startTime: run.slot.startTime, timeoutMs: KILL_TIMEOUT_MS });
  await settleEnded(parts, sandboxId, run.slot);
}

/** The same for a run whose slot is dead already. */
export async function settleEnded(parts: NodeParts, sandboxId: string, slot: Slot): Promise<void> {
  const known = parts.registry.get(sandboxId);
  if (known?.run?.slot.id !== slot.id) return;
  parts.stores.release(known.entry.mounts);
  const entry = { ...known.entry, state: "stopped" as const, slot: null, mounts: [] };
  parts.journal.write(entry);
  parts.registry.setStopped(entry);
  await giveUpSlot(parts, slot);
}

/** Gives up a slot that nothing runs in, but that something was done to. Killed first: no later process may take it for a fresh one. */
export async function discardSlot(parts: NodeParts, slot: Slot): Promise<void> {
  await parts.attach.kill({ pid: slot.pid, startTime: slot.startTime, timeoutMs: KILL_TIMEOUT_MS });
  await giveUpSlot(parts, slot);
}

/** A slot's address is another's soon: what was allowed to it ends first. */
export async function giveUpSlot(parts: NodeParts, slot: Slot): Promise<void> {
  await parts.network.disallow(slot.address);
  parts.pool.release(slot);
}
