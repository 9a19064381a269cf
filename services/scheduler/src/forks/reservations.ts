import type { Batch } from "../domain/fork-book.ts";
import type { LiveFork } from "../domain/fork-live.ts";
import type { ForkWrite, SandboxEnd } from "../domain/fork-steps.ts";
import { FIRST_EPOCH } from "../domain/sandbox.ts";
import type { Entry } from "../memory/ledger.ts";
import type { ForkParts, Forks } from "./forks.ts";

/** From the moment of planning on, its children take of their organisation's quota and of their node. */
export function reserveBatch(forks: Forks, batch: Batch): void {
  const { parts, book, slots } = forks;
  const fork = book.get(batch.forkId);
  if (fork === undefined) return;
  slots.set(batch.id, parts.nodes.reserve(batch.nodeId, batch.children.length));
  for (const { sandboxId } of batch.children) parts.ledger.put(entryOf(fork, sandboxId, batch.nodeId));
}

/** A child that starts has no row yet: its entry is all there is of it. */
export function reserveStarting({ ledger }: ForkParts, fork: LiveFork): void {
  for (const { state, sandboxId, nodeId } of fork.everPlanned())
    if (state === "starting" && sandboxId !== null && nodeId !== null) ledger.put(entryOf(fork, sandboxId, nodeId));
}

export function freeReservations(forks: Forks, fork: LiveFork): void {
  for (const batch of forks.book.batches()) if (batch.forkId === fork.row.id) freeSlots(forks, batch.id);
  for (const { state, sandboxId } of fork.everPlanned())
    if (state === "starting" && sandboxId !== null) forks.parts.ledger.remove(sandboxId);
}

export function freeSlots({ slots }: Forks, batchId: number): void {
  slots.get(batchId)?.();
  slots.delete(batchId);
}

/** The ledger goes with the rows. `ended`: those that were as the write expected. */
export function followWrite(
  { ledger }: ForkParts,
  row: LiveFork["row"],
  write: ForkWrite,
  ended: readonly { id: string; to: SandboxEnd["to"] }[],
): void {
  const { maxLifetimeS } = row.spec.lifetime;
  for (const { sandboxId, state, nodeId, startedAt } of write.made) {
    if (state === "deleted") ledger.remove(sandboxId);
    else {
      const expiresAt = maxLifetimeS === null ? null : startedAt + maxLifetimeS * 1_000;
      ledger.put({ ...base(row), id: sandboxId, nodeId, state, startedAt, lastActiveAt: startedAt, expiresAt });
    }
  }
  for (const { id, to } of ended) {
    const entry = ledger.get(id);
    if (to === "deleted") ledger.remove(id);
    else if (entry !== undefined) ledger.put({ ...entry, state: to });
  }
  for (const id of write.freed) if (ledger.get(id)?.state === "starting") ledger.remove(id);
}

const base = ({ orgId, template, spec }: LiveFork["row"]): Pick<Entry, "orgId" | "epoch" | "resources" | "lifetime"> => ({
  orgId,
  epoch: FIRST_EPOCH,
  resources: template.resources,
  lifetime: spec.lifetime,
});

const entryOf = (fork: LiveFork, id: string, nodeId: string): Entry => ({
  ...base(fork.row),
  id,
  nodeId,
  state: "starting",
  startedAt: null,
  lastActiveAt: 0,
  expiresAt: null,
});
