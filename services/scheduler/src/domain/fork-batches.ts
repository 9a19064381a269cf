import { LIMITS } from "@banyan/contracts";
import { assert } from "@banyan/kernel";
import { coolOff } from "./fork-cool-off.ts";
import { lookForEnd } from "./fork-end.ts";
import { NO_ANSWER } from "./fork-errors.ts";
import type { Child, LiveFork } from "./fork-live.ts";
import type { Batch, ForkMemory } from "./fork-memory.ts";
import type { Answer } from "./fork-outcomes.ts";

/** Of a message, for what children have of their own. */
const BATCH_BYTES_MAX = 256 * 1024;
/** Sends of one batch before its children are given up there. */
const TRIES_MAX = 5;
const RESEND_BASE_MS = 200;
const RESEND_MAX_MS = 5_000;

interface Order {
  nodeId: string;
  /** At most. */
  count: number;
  newSandboxId: () => string;
}

/** Takes up to so many that wait, as far as they fit into one message, and has them sent. */
export function startBatch(memory: ForkMemory, fork: LiveFork, { nodeId, count, newSandboxId }: Order, now: number): Batch {
  const batch = memory.newBatch(fork, nodeId, now);
  let bytes = 0;
  memory.change(fork, now, (draft) => {
    while (batch.children.length < Math.min(count, LIMITS.forkBatchMax) && fork.waiting > 0) {
      if (batch.children.length > 0 && bytes >= BATCH_BYTES_MAX) break;
      const child = fork.next();
      bytes += fork.children.bytes(child.index);
      const sandboxId = newSandboxId();
      Object.assign(child, { sandboxId, nodeId, batchId: batch.id, attempts: child.attempts + 1, error: null });
      fork.move(draft, child, "starting");
      memory.owners.set(sandboxId, { fork, child });
      batch.children.push({ index: child.index, sandboxId });
    }
    draft.actions.push({ kind: "send", batchId: batch.id });
  });
  return batch;
}

/** A child that was starting when its rows were left: nobody knows whether its batch arrived. */
export function resumeStart(memory: ForkMemory, fork: LiveFork, child: Child): void {
  const { sandboxId, nodeId } = child;
  if (sandboxId === null || nodeId === null) throw new RangeError(`child ${child.index} of ${fork.row.id} starts nowhere`);
  memory.owners.set(sandboxId, { fork, child });
  const bytes = fork.children.bytes(child.index);
  const open = memory.batchesOf(fork.row.id).findLast((batch) => batch.nodeId === nodeId && batch.children.length < LIMITS.forkBatchMax);
  // Those with much of their own go alone: how they were packed is not written down.
  const batch = open !== undefined && bytes * LIMITS.forkBatchMax <= BATCH_BYTES_MAX ? open : memory.newBatch(fork, nodeId, 0);
  batch.phase = "uncertain";
  batch.children.push({ index: child.index, sandboxId });
  child.batchId = batch.id;
}

/** Its node has answered, child by child. */
export function settleBatch(memory: ForkMemory, batch: Batch, answers: readonly Answer[], now: number): void {
  memory.batches.delete(batch.id);
  const fork = memory.forks.get(batch.forkId);
  if (fork === undefined) return;
  memory.change(fork, now, (_draft, outcomes) => {
    batch.children.forEach((sent, at) => {
      const child = waitedFor(fork, sent, batch.id);
      const answer = answers[at] ?? { kind: "failed", code: "internal", message: "its node did not say" };
      if (child !== null) outcomes.answered(child, answer);
    });
  });
  lookForEnd(memory, fork, now);
}

/** It is sent again, later each time. */
export function doubtBatch(batch: Batch, now: number): void {
  batch.phase = "uncertain";
  batch.dueAt = now + Math.min(RESEND_MAX_MS, RESEND_BASE_MS * 2 ** batch.tries);
}

/** Sends an uncertain batch again; after so many times its children are given up there. */
export function resendBatch(memory: ForkMemory, batch: Batch, now: number): void {
  const fork = memory.forks.get(batch.forkId);
  assert(fork !== undefined, `batch ${batch.id} has no fork`);
  if (++batch.tries > TRIES_MAX) giveUp(memory, fork, batch, now);
  else {
    batch.phase = "sent";
    memory.change(fork, now, (draft) => draft.actions.push({ kind: "send", batchId: batch.id }));
  }
}

/** Its node is there and does not answer to it. What it may have made of it is deleted. */
function giveUp(memory: ForkMemory, fork: LiveFork, batch: Batch, now: number): void {
  memory.batches.delete(batch.id);
  coolOff(fork, batch.nodeId, RESEND_MAX_MS, now);
  memory.change(fork, now, (_draft, outcomes) => {
    const given = batch.children.flatMap((sent) => waitedFor(fork, sent, batch.id) ?? []);
    const sandboxIds = given.flatMap(({ sandboxId }) => sandboxId ?? []);
    if (sandboxIds.length > 0) outcomes.delete(batch.nodeId, sandboxIds);
    for (const child of given) outcomes.lose(child, NO_ANSWER, { hasNode: false });
  });
  lookForEnd(memory, fork, now);
}

/** The child that this batch still is about. */
function waitedFor(fork: LiveFork, sent: Batch["children"][number], batchId: number): Child | null {
  const child = fork.planned[sent.index];
  return child?.state === "starting" && child.sandboxId === sent.sandboxId && child.batchId === batchId ? child : null;
}
