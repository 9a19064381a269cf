import { LIMITS } from "@banyan/contracts";
import { NODE_LOST, SOURCE_LOST } from "./fork-errors.ts";
import type { LiveFork } from "./fork-live.ts";
import type { ForkMemory } from "./fork-memory.ts";

/** The children that start or run on a node are lost with it, and so is what was sent there. */
export function loseNode(memory: ForkMemory, fork: LiveFork, nodeId: string, now: number): void {
  memory.dropBatches(fork.row.id, nodeId);
  const lost = [...fork.everPlanned()].filter(
    (child) => child.nodeId === nodeId && child.sandboxId !== null && memory.owners.has(child.sandboxId),
  );
  for (let from = 0; from < lost.length; from += LIMITS.forkBatchMax) {
    memory.change(fork, now, (_draft, outcomes) => {
      for (const child of lost.slice(from, from + LIMITS.forkBatchMax)) outcomes.lose(child, NODE_LOST, { hasNode: false });
    });
  }
}

/** The files were on one node only, and that is gone: nothing can start from them any more. */
export function loseSource(memory: ForkMemory, fork: LiveFork, now: number): void {
  const waiting = fork.again.splice(0);
  memory.change(fork, now, (draft, outcomes) => {
    for (const index of waiting) {
      const child = fork.planned[index];
      if (child !== undefined) outcomes.close(child, "failed", SOURCE_LOST);
    }
    fork.endRest(draft, "failed", SOURCE_LOST);
    fork.head.stateReason = SOURCE_LOST.code;
    draft.stateTold = true;
  });
}
