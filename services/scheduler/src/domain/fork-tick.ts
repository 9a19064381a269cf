import { hasEnded } from "./fork.ts";
import { beginPreparing } from "./fork-base.ts";
import { resendBatch } from "./fork-batches.ts";
import { endFork, lookForEnd } from "./fork-end.ts";
import type { LiveFork } from "./fork-live.ts";
import type { ForkMemory } from "./fork-memory.ts";
import { beginResolving } from "./fork-mounts.ts";
import { loseNode, loseSource } from "./fork-node-loss.ts";
import { endGraces } from "./fork-reports.ts";

/** How the nodes are, as far as that concerns what was sent to them. */
export interface NodesView {
  now: number;
  isReachable(nodeId: string): boolean;
  /** Silent for too long, or removed: what was there does not count any more. */
  isLost(nodeId: string): boolean;
}

/** What time brings: deadlines, sends that are due again, nodes that are gone. */
export function tickForks(memory: ForkMemory, view: NodesView): void {
  for (const fork of memory.forks.values()) tickFork(memory, fork, view);
  for (const batch of memory.batches.values()) {
    if (batch.phase !== "uncertain" || batch.dueAt > view.now || !view.isReachable(batch.nodeId)) continue;
    // What may have been sent before a restart waits for its volumes like all others.
    if (memory.forks.get(batch.forkId)?.mounts !== null) resendBatch(memory, batch, view.now);
  }
}

function tickFork(memory: ForkMemory, fork: LiveFork, view: NodesView): void {
  const { now } = view;
  const { preparing, resolving, head } = fork;
  if (head.state === "ending" || hasEnded(head.state)) return;
  if (now >= fork.row.deadlineAt) {
    endFork(memory, fork, { as: "cancelled", reason: "deadline" }, now);
    return;
  }
  const isGone = (nodeId: string): boolean => !view.isReachable(nodeId) && view.isLost(nodeId);
  if (preparing.dueAt !== null && preparing.dueAt <= now) beginPreparing(memory, fork, now);
  if (resolving.dueAt !== null && resolving.dueAt <= now) beginResolving(memory, fork, now);
  for (const nodeId of [...fork.onNode.keys()]) if (isGone(nodeId)) loseNode(memory, fork, nodeId, now);
  endGraces(memory, fork, now);
  const { base } = head;
  if (base !== null && base.shipped === null && base.nodeId !== null && fork.waiting > 0 && isGone(base.nodeId))
    loseSource(memory, fork, now);
  lookForEnd(memory, fork, now);
}
