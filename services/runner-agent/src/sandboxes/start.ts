import { fault, isFault, type NodeStart, type OutputOf, type StartOrder } from "@banyan/contracts";
import { limitWrites, processStartTime } from "@banyan/runtime";
import { DISK_FREE_MIN_MB, fits } from "../domain/capacity.ts";
import { decideStart, type StartFacts } from "../domain/decide-start.ts";
import type { Claim } from "../pool/pool.ts";
import { endRun } from "./end-run.ts";
import type { JournalEntry } from "./journal.ts";
import type { NodeParts } from "./parts.ts";
import { seedFiles } from "./seed.ts";

type Output = OutputOf<typeof NodeStart>;

/** A slot may die between its claim and the attach; then the next one is taken. */
const SLOTS_TRIED_MAX = 3;
const REFUSED_RETRY_MS = 1_000;
const MB = 1024 * 1024;

export async function startSandbox(parts: NodeParts, order: StartOrder): Promise<Output> {
  const calledAt = parts.clock.monotonicMs();
  return parts.turns.take(order.sandboxId, async () => {
    const decision = decideStart(order, factsOf(parts, order));
    if (decision.kind === "refuse") return { kind: "refused", reason: decision.reason, retryAfterMs: REFUSED_RETRY_MS };
    if (decision.kind === "repeat") return repeatedAnswer(parts, order);
    if (decision.ends) await endRun(parts, order.sandboxId);
    if (decision.clears) await parts.disk.driver.delete(order.sandboxId);
    parts.registry.reserve(order.sandboxId, order.resources);
    try {
      return await carryOut(parts, order, calledAt);
    } catch (error) {
      if (isFault(error, "node.no_slot")) return { kind: "refused", reason: "no_slot", retryAfterMs: parts.pool.retryAfterMs() };
      if (isFault(error, "layer.unavailable", "sandbox.start_failed")) throw error;
      throw fault("sandbox.start_failed", { sandboxId: order.sandboxId }, { cause: error });
    } finally {
      parts.registry.unreserve(order.sandboxId);
    }
  });
}

function factsOf(parts: NodeParts, order: StartOrder): StartFacts {
  const known = parts.registry.get(order.sandboxId)?.entry;
  const hasDisk = parts.disk.driver.has(order.sandboxId);
  const hasSpace = parts.disk.space().freeBytes >= DISK_FREE_MIN_MB * MB;
  const hasRoom = hasSpace && fits(parts.capacity, parts.registry.used(), order.resources, known?.resources.diskMb ?? 0);
  return { nodeState: parts.state, deletedEpoch: parts.tombstones.epochOf(order.sandboxId), known, hasDisk, hasRoom };
}

function repeatedAnswer(parts: NodeParts, order: StartOrder): Output {
  const answer = parts.registry.get(order.sandboxId)?.entry.answer;
  const timing = { queueMs: 0, claimMs: 0, attachMs: 0, readyMs: 0, totalMs: 0 };
  return { kind: "started", path: answer?.path ?? "warm", timing: answer?.timing ?? timing };
}

/** Slot, layers and disk are got ready at once; then the attach puts them together. What fails half-way leaves nothing. */
async function carryOut(parts: NodeParts, order: StartOrder, calledAt: number): Promise<Output> {
  const { clock, disk, journal, layers, network, pool, registry } = parts;
  const before = registry.get(order.sandboxId)?.entry;
  const beganAt = clock.monotonicMs();
  const [claimed, prepared] = await Promise.allSettled([
    claimSlot(parts, order),
    prepareDisk(parts, order, before),
    layers.ensure(order.layers),
  ]);
  const undo = async (claim: Claim | null) => {
    if (claim !== null) pool.release(claim.slot);
    if (order.fresh) await disk.driver.delete(order.sandboxId);
    if (before === undefined) journal.remove(order.sandboxId);
    else journal.write(before);
  };
}
