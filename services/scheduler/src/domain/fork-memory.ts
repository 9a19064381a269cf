import type { Child, Draft, LiveFork } from "./fork-live.ts";
import { ChildOutcomes } from "./fork-outcomes.ts";

/** Children of one fork on one node, in one message. */
export interface Batch {
  id: number;
  forkId: string;
  orgId: string;
  nodeId: string;
  children: { index: number; sandboxId: string }[];
  /** sent: on its way, or about to be. uncertain: sent again from `dueAt` on, once its node answers. */
  phase: "sent" | "uncertain";
  tries: number;
  dueAt: number;
}

/** A child, with its fork. */
export interface Owner {
  fork: LiveFork;
  child: Child;
}

/** The forks that have not ended, what was sent for them and is not answered, and whose each sandbox is. */
export class ForkMemory {
  readonly forks = new Map<string, LiveFork>();
  readonly batches = new Map<number, Batch>();
  /** By sandbox, of children that start or run. */
  readonly owners = new Map<string, Owner>();
  /** Forks with something to write or to do, in the order in which they are served. */
  readonly dirty = new Set<string>();
  #lastBatchId = 0;

  newBatch(fork: LiveFork, nodeId: string, now: number): Batch {
    const { id: forkId, orgId } = fork.row;
    const batch: Batch = { id: ++this.#lastBatchId, forkId, orgId, nodeId, children: [], phase: "sent", tries: 0, dueAt: now };
    this.batches.set(batch.id, batch);
    return batch;
  }

  batchesOf(forkId: string): Batch[] {
    return [...this.batches.values()].filter((batch) => batch.forkId === forkId);
  }

  /** What is answered to these is not heard any more. Without a node: all of the fork's. */
  dropBatches(forkId: string, nodeId: string | null = null): void {
    for (const batch of this.batchesOf(forkId)) if (nodeId === null || batch.nodeId === nodeId) this.batches.delete(batch.id);
  }

  disown(child: Child): void {
    if (child.sandboxId !== null) this.owners.delete(child.sandboxId);
  }

  forget(forkId: string): void {
    const fork = this.forks.get(forkId);
    if (fork === undefined) return;
    for (const child of fork.everPlanned()) this.disown(child);
    this.dropBatches(forkId);
    this.forks.delete(forkId);
    this.dirty.delete(forkId);
  }

  /** One indivisible change of a fork. */
  change(fork: LiveFork, now: number, run: (draft: Draft, outcomes: ChildOutcomes) => void): void {
    fork.change(now, (draft) => run(draft, new ChildOutcomes(fork, draft, this)));
    if (fork.queue.length > 0) this.dirty.add(fork.row.id);
  }
}
