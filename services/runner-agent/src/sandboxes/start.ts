import { fault, isFault, type NodeStart, type OutputOf, type StartOrder } from "@banyan/contracts";
import { messageOf } from "@banyan/kernel";
import { DISK_FREE_MIN_MB, fits, usedBy } from "../domain/capacity.ts";
import { decideStart, type StartDecision, type StartFacts } from "../domain/decide-start.ts";
import { recordOf } from "../volumes/record.ts";
import { attachSlot, type HeldSlot } from "./attach-slot.ts";
import { finishDelete } from "./delete.ts";
import { discardSlot, endRun } from "./end-run.ts";
import type { ForkOf, JournalEntry } from "./journal.ts";
import type { NodeParts } from "./parts.ts";
import { Undo } from "./undo.ts";

type Output = OutputOf<typeof NodeStart>;

const REFUSED_RETRY_MS = 1_000;
const MB = 1024 * 1024;
/** What is wrong with the order, or with what it needs, is said as it is. */
const TOLD = [
  ...(["layer.unavailable", "sandbox.start_failed", "mount.refused"] as const),
  ...(["volume.unreachable", "volume.not_found", "volume.subpath_not_found", "volume.mount_failed"] as const),
];

/** What an order does not say. */
export interface Start {
  /** When the message came, on the monotonic clock: what others of the same message took before it is its own waiting. */
  calledAt: number;
  fork: ForkOf | null;
  /** Opens the volumes of the order: for many children of one message, once where it fails. */
  openVolumes: () => string[] | Promise<string[]>;
}

/** Runs a sandbox in a slot. The path of every create, start and fork: no process is spawned, the container engine is not asked. */
export async function startSandbox(parts: NodeParts, order: StartOrder): Promise<Output> {
  const calledAt = parts.clock.monotonicMs();
  const openVolumes = () => parts.stores.open(order.mounts);
  return (await parts.turns.take(order.sandboxId, () => startInTurn(parts, order, { calledAt, fork: null, openVolumes }))).answer;
}

/** For whoever has the sandbox's turn. `isNew`: it runs since now, not since an order before. */
export async function startInTurn(parts: NodeParts, order: StartOrder, start: Start): Promise<{ answer: Output; isNew: boolean }> {
  const decision = decideStart(order, factsOf(parts, order));
  if (decision.kind === "repeat") return { answer: repeatedAnswer(parts, order), isNew: false };
  const answer = await answerOf(parts, order, start, decision);
  if (answer.kind === "started") parts.metrics.started(answer.path, answer.timing.totalMs);
  else parts.metrics.refused(answer.reason);
  return { answer, isNew: answer.kind === "started" };
}

async function answerOf(
  parts: NodeParts,
  order: StartOrder,
  start: Start,
  decision: Exclude<StartDecision, { kind: "repeat" }>,
): Promise<Output> {
  if (decision.kind === "refuse") return { kind: "refused", reason: decision.reason, retryAfterMs: REFUSED_RETRY_MS };
  parts.registry.reserve(order.sandboxId, order.resources);
  const release = parts.layers.hold(order.layers);
  try {
    if (decision.clears) await finishDelete(parts, order.sandboxId);
    else if (decision.ends) await endRun(parts, order.sandboxId);
    return await carryOut(parts, order, start);
  } catch (error) {
    if (isFault(error, "node.no_slot")) return { kind: "refused", reason: "no_slot", retryAfterMs: parts.pool.retryAfterMs() };
    if (isFault(error, ...TOLD)) throw error;
    throw fault("sandbox.start_failed", { sandboxId: order.sandboxId, reason: messageOf(error) }, { cause: error });
  } finally {
    release();
    parts.registry.unreserve(order.sandboxId);
  }
}

function factsOf(parts: NodeParts, order: StartOrder): StartFacts {
  const known = parts.registry.get(order.sandboxId)?.entry;
  const hasSpace = parts.disk.space().freeBytes >= DISK_FREE_MIN_MB * MB;
  return {
    nodeState: parts.state,
    deletedEpoch: parts.tombstones.epochOf(order.sandboxId),
    known,
    hasDisk: parts.disk.driver.has(order.sandboxId),
    hasRoom: hasSpace && fits(parts.capacity, parts.registry.used(), order.resources, usedBy(known === undefined ? [] : [known])),
  };
}

function repeatedAnswer(parts: NodeParts, order: StartOrder): Output {
  const timing = { queueMs: 0, claimMs: 0, attachMs: 0, readyMs: 0, totalMs: 0 };
  return parts.registry.get(order.sandboxId)?.run?.answer ?? { kind: "started", path: "warm", timing };
}

/** Slot and disk are got ready at once; then the attach puts them together. What fails half-way leaves nothing. */
async function carryOut(parts: NodeParts, order: StartOrder, { calledAt, fork, openVolumes }: Start): Promise<Output> {
  const { clock, layers, registry, journal } = parts;
  const before = registry.get(order.sandboxId)?.entry;
  const beganAt = clock.monotonicMs();
  // Fetching may take long: it is done before a slot is taken from those who need none.
  const isWhole = layers.hasAll(order.layers);
  if (!isWhole) await layers.ensure(order.layers);
  const undo = new Undo(parts.logger);
  undo.add(() => (before === undefined ? journal.remove(order.sandboxId) : journal.write(before)));
  try {
    // Before a slot is taken too. Where all is there already nothing is waited for.
    const opening = openVolumes();
    const sources = opening instanceof Promise ? await opening : opening;
    undo.add(() => parts.stores.release(order.mounts));
    const waitMs = order.deadlineMs - (clock.monotonicMs() - calledAt);
    const [disk, claimed] = await Promise.allSettled([makeDisk(parts, order, before, undo), claimSlot(parts, order, waitMs, undo)]);
    if (disk.status === "rejected") throw disk.reason;
    if (claimed.status === "rejected") throw claimed.reason;
    const claimedAt = clock.monotonicMs();
    const entry = await attachSlot(parts, order, entryOf(order, fork), claimed.value, sources);
    const endedAt = clock.monotonicMs();
    const timing = {
      queueMs: beganAt - calledAt,
      claimMs: claimedAt - beganAt,
      attachMs: endedAt - claimedAt,
      readyMs: 0,
      totalMs: endedAt - calledAt,
    };
    const answer: Output = { kind: "started", path: isWhole ? claimed.value.path : "cold", timing };
    registry.setRunning(entry, entry.slot, answer);
    // After the answer is on its way: the first command is as good as certain.
    setImmediate(() => registry.get(order.sandboxId)?.run?.view.init.expectExec());
    return answer;
  } catch (error) {
    await undo.run();
    throw error;
  }
}

async function claimSlot(parts: NodeParts, order: StartOrder, waitMs: number, undo: Undo): Promise<HeldSlot> {
  const held: HeldSlot = await parts.interrupts.waitFor(order.sandboxId, order.epoch, (signal) => parts.pool.claim(waitMs, signal));
  undo.add(() => (held.slot === null ? undefined : discardSlot(parts, held.slot)));
  return held;
}

async function makeDisk({ disk, layers }: NodeParts, order: StartOrder, before: JournalEntry | undefined, undo: Undo): Promise<void> {
  if (order.fresh) {
    const below = order.layers.map(({ digest }) => layers.path(digest));
    await disk.driver.create(order.sandboxId, order.resources.diskMb, below);
    undo.add(() => disk.driver.delete(order.sandboxId));
  } else if (before?.resources.diskMb !== order.resources.diskMb) {
    await disk.driver.limit(order.sandboxId, order.resources.diskMb);
  }
}

function entryOf(order: StartOrder, fork: ForkOf | null): JournalEntry {
  const { sandboxId, orgId, epoch, env, workdir, user, resources, network, layers } = order;
  const mounts = order.mounts.map((mount) => recordOf(mount));
  const about = { sandboxId, orgId, epoch, env, workdir, user, resources, network, layers, mounts, fork };
  return { format: 1, state: "running", slot: null, ...about };
}
