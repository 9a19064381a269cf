import { isFault, LIMITS, NodeDeleteMany, NodeRelease, NodeShip, NodeStartMany } from "@banyan/contracts";
import { unreachable } from "@banyan/kernel";
import type { Answer, Batch } from "../domain/fork-book.ts";
import type { LiveFork } from "../domain/fork-live.ts";
import type { ForkAction } from "../domain/fork-steps.ts";
import { FIRST_EPOCH } from "../domain/sandbox.ts";
import { haveChecked } from "../launch.ts";
import { resolveMounts } from "../mounts.ts";
import { cleanText } from "./clean.ts";
import type { Forks } from "./forks.ts";
import { prepare } from "./prepare.ts";
import { freeSlots } from "./reservations.ts";

/** How long a child may wait for a slot. Beyond it, another node may have one by then. */
const SLOT_WAIT_MS = 20_000;
/** With what a node may have to fetch first. */
const SEND_CALL_MS = 60_000;
const DELETE_CALL_MS = 20_000;

/** Begins what a written step asks for, and tells the book what came of it. Not waited for: the next write follows at once. */
export function carryOut(forks: Forks, fork: LiveFork, action: ForkAction): void {
  begin(forks, fork, action)
    .catch((err) => forks.parts.logger.error({ err, forkId: fork.row.id, action: action.kind }, "a fork's step was not carried out"))
    .finally(() => forks.kick());
}

async function begin(forks: Forks, fork: LiveFork, action: ForkAction): Promise<void> {
  switch (action.kind) {
    case "prepare":
      return prepare(forks, fork);
    case "resolve":
      return resolve(forks, fork);
    case "ship":
      return ship(forks, fork, action);
    case "send":
      return send(forks, fork, action.batchId);
    case "delete":
      return remove(forks, fork, action);
    case "release":
      return release(forks, action);
    case "ended":
      return forks.onEnded();
    default:
      return unreachable(action);
  }
}

async function resolve({ book, parts }: Forks, { row }: LiveFork): Promise<void> {
  try {
    book.resolved(row.id, await resolveMounts(parts, row.orgId, row.template.volumes));
  } catch (error) {
    const final = isFault(error, "volume.not_found", "volume.version_not_found", "request.invalid");
    parts.logger.warn({ err: error, forkId: row.id, final }, "the volumes of a fork could not be resolved");
    book.unresolved(row.id, { reason: isFault(error) ? error.code : "internal", final }, parts.clock.now());
  }
}

async function send(forks: Forks, fork: LiveFork, batchId: number): Promise<void> {
  const { book, parts } = forks;
  const batch = book.batch(batchId);
  if (batch === undefined) return freeSlots(forks, batchId);
  try {
    if (!parts.nodes.isReachable(batch.nodeId) || fork.mounts === null) return book.uncertain(batchId, parts.clock.now());
    const order = fork.children.order(batch.nodeId, batch.children, { mounts: fork.mounts.orders, slotWaitMs: SLOT_WAIT_MS });
    const { children } = await parts.bus.call(NodeStartMany.on(batch.nodeId), order, { deadlineMs: SEND_CALL_MS });
    book.settled(
      batchId,
      children.map(
        (child): Answer => (child.kind === "failed" ? { ...child, code: cleanText(child.code), message: cleanText(child.message) } : child),
      ),
      parts.clock.now(),
    );
  } catch (error) {
    notSent(forks, batch, error);
  } finally {
    freeSlots(forks, batchId);
  }
}

function notSent({ book, parts }: Forks, batch: Batch, error: unknown): void {
  const now = parts.clock.now();
  if (isFault(error, "layer.unavailable")) haveChecked(parts, error);
  // Nothing of it can have begun.
  if (isFault(error, "layer.unavailable", "request.invalid", "request.too_large")) {
    book.refusedWhole(batch.id, { kind: "failed", code: error.code, message: error.message }, now);
    return;
  }
  parts.logger.warn(
    { err: error, forkId: batch.forkId, nodeId: batch.nodeId },
    "a node did not answer to a fork's batch; it is sent again",
  );
  book.uncertain(batch.id, now);
}

async function remove(
  { book, parts }: Forks,
  fork: LiveFork,
  { nodeId, sandboxIds }: Extract<ForkAction, { kind: "delete" }>,
): Promise<void> {
  const { id } = fork.row;
  const sandboxes = sandboxIds.slice(0, LIMITS.forkBatchMax).map((sandboxId) => ({ sandboxId, epoch: FIRST_EPOCH }));
  try {
    if (!parts.nodes.isReachable(nodeId)) return book.removed(id, sandboxIds, false, parts.clock.now());
    const { stale } = await parts.bus.call(NodeDeleteMany.on(nodeId), { sandboxes }, { deadlineMs: DELETE_CALL_MS });
    // Those were started anew by their owner: the loop deletes them by their own epoch.
    const left = new Set(stale);
    book.removed(
      id,
      sandboxIds.filter((sandboxId) => !left.has(sandboxId)),
      true,
      parts.clock.now(),
    );
  } catch (err) {
    parts.logger.warn(
      { err, forkId: id, nodeId, sandboxes: sandboxIds.length },
      "a node did not delete children of a fork; the loop goes on with them",
    );
    book.removed(id, sandboxIds, false, parts.clock.now());
  }
}

async function ship({ book, parts }: Forks, fork: LiveFork, { nodeId, layers }: Extract<ForkAction, { kind: "ship" }>): Promise<void> {
  const { id } = fork.row;
  try {
    const shipped = await parts.bus.call(NodeShip.on(nodeId), { layers });
    book.shipped(id, shipped.layers, shipped.skipped.map(cleanText), parts.clock.now());
  } catch (err) {
    parts.logger.warn({ err, forkId: id, nodeId }, "a fork's files could not be shipped; it goes on where they are");
    book.unshipped(id, parts.clock.now());
  }
}

/** If it is not heard, the node releases it when the time it was asked to keep it for is over. */
async function release({ parts }: Forks, { nodeId, frozenId }: Extract<ForkAction, { kind: "release" }>): Promise<void> {
  await parts.bus
    .call(NodeRelease.on(nodeId), { frozenIds: [frozenId] }, { retry: true })
    .catch((err) => parts.logger.warn({ err, nodeId, frozenId }, "a frozen layer was not released"));
}
