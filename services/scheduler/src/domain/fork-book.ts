import type { ForkBase } from "@banyan/contracts";
import { type ForkRow, type Freeze, hasEnded, type LoadedChild } from "./fork.ts";
import { beginPreparing, beginShipping, finishPreparing, finishShipping, retryPreparing, retryShipping } from "./fork-base.ts";
import { doubtBatch, resumeStart, settleBatch, startBatch } from "./fork-batches.ts";
import { cancelFork, carryOutEnd, lookForEnd, settleDelete } from "./fork-end.ts";
import { type Child, LiveFork } from "./fork-live.ts";
import { type Batch, ForkMemory } from "./fork-memory.ts";
import { beginResolving, finishResolving, retryResolving } from "./fork-mounts.ts";
import { loseNode } from "./fork-node-loss.ts";
import type { Answer, Report } from "./fork-outcomes.ts";
import { type PlanView, planForks } from "./fork-plan.ts";
import { awaitReport, hearReports, type Interruption, removeStarting, type SandboxChange, sandboxChanged } from "./fork-reports.ts";
import { startingSandbox } from "./fork-sandbox.ts";
import { type ForkWrite, mergeSteps, type Step, takeSteps } from "./fork-steps.ts";
import { type NodesView, tickForks } from "./fork-tick.ts";
import type { Mounts } from "./mounts.ts";
import type { Sandbox } from "./sandbox.ts";

export type { Batch } from "./fork-memory.ts";
export type { Answer } from "./fork-outcomes.ts";

/**
 * Everything known in memory of the forks that have not ended, and all that is decided about them. No I/O and no clock: each method is told what
 * has happened, changes the memory at once, and queues what has to be written and done. `take` gives that out in order, one write of a fork at a
 * time; its actions are carried out when it is written. A crash at any point loses only what was not written: a book filled from the rows by
 * `add` goes on from there, and sends again what may or may not have arrived.
 */
export class ForkBook {
  readonly #memory = new ForkMemory();
  readonly #newSandboxId: () => string;

  constructor({ newSandboxId }: { newSandboxId: () => string }) {
    this.#newSandboxId = newSandboxId;
  }

  get size(): number {
    return this.#memory.forks.size;
  }

  has(forkId: string): boolean {
    return this.#memory.forks.has(forkId);
  }

  /** A fork in memory; to be looked at only. */
  get(forkId: string): LiveFork | undefined {
    return this.#memory.forks.get(forkId);
  }

  forks(): IterableIterator<LiveFork> {
    return this.#memory.forks.values();
  }

  batch(batchId: number): Batch | undefined {
    return this.#memory.batches.get(batchId);
  }

  batches(): IterableIterator<Batch> {
    return this.#memory.batches.values();
  }

  /** A child's sandbox that is this book's to look after: it starts, or its fork still waits for it. */
  owns(sandboxId: string): boolean {
    return this.#memory.owners.has(sandboxId);
  }

  /** A child's sandbox that starts, and so has no row yet. */
  starting(sandboxId: string): Sandbox | null {
    const owner = this.#memory.owners.get(sandboxId);
    return owner?.child.state === "starting" ? startingSandbox(owner.fork, owner.child) : null;
  }

  /** Its command runs, as far as is known: its node will tell how that ended. */
  awaitsReport(sandboxId: string): boolean {
    const owner = this.#memory.owners.get(sandboxId);
    return owner?.fork.hasCommand === true && owner.child.state === "running";
  }

  /** A new fork, or one from its rows after a restart. `mounts` null: what is known of its volumes is in its row. */
  add(row: ForkRow, children: readonly LoadedChild[], now: number, mounts: Mounts | null = null): void {
    const memory = this.#memory;
    if (hasEnded(row.state) || memory.forks.has(row.id)) return;
    const fork = new LiveFork(row, mounts);
    memory.forks.set(row.id, fork);
    for (const loaded of children) this.#load(fork, fork.load(loaded));
    fork.loaded();
    // What befell sandboxes while nobody was there to hear; when all children are known, for it may be the end of the fork.
    if (row.state === "running") {
      for (const { sandboxId, sandboxState, sandboxReason: reason } of children)
        if (sandboxId !== null && sandboxState !== "running")
          this.sandboxChanged(sandboxId, { state: sandboxState ?? "deleted", reason }, now);
    }
    if (row.state === "preparing") beginPreparing(memory, fork, now);
    else if (row.state === "ending") carryOutEnd(memory, fork, now);
    else lookForEnd(memory, fork, now);
    if (fork.mounts === null && (fork.head.state === "preparing" || fork.head.state === "running")) beginResolving(memory, fork, now);
  }

  /** Drops it from memory: another process has it, or its rows are to be read anew. */
  forget(forkId: string): void {
    this.#memory.forget(forkId);
  }

  /** Forks with something to write or to do. */
  dirty(): string[] {
    return [...this.#memory.dirty];
  }

  /** What is to be written next of this fork; the one before must have been written. */
  take(forkId: string): (ForkWrite & { through: number }) | null {
    const { forks, dirty } = this.#memory;
    const fork = forks.get(forkId);
    if (fork === undefined) return null;
    const steps: Step[] = takeSteps(fork.queue);
    // To the end of those that wait: nobody's many writes keep the others from theirs.
    dirty.delete(forkId);
    if (fork.queue.length > 0) dirty.add(forkId);
    if (steps.length === 0) return null;
    const write = mergeSteps(forkId, steps, fork.version, fork.eventSeq);
    fork.version = write.version;
    fork.eventSeq = write.head?.eventSeq ?? fork.eventSeq;
    if (write.head !== null && hasEnded(write.head.state)) this.forget(forkId);
    return { ...write, through: fork.queued - fork.queue.length };
  }

  /** Gives what waits to nodes that have room. The answer is what was planned, to be reserved at once; each is sent when it is written. */
  plan(view: PlanView): Batch[] {
    const memory = this.#memory;
    const planned: Batch[] = [];
    const running = [...memory.forks.values()].filter(({ head }) => head.state === "running");
    planForks(running, memory.batches.values(), view, {
      batch: (fork, nodeId, count) => {
        planned.push(startBatch(memory, fork, { nodeId, count, newSandboxId: this.#newSandboxId }, view.now));
      },
      ship: (fork) => beginShipping(memory, fork, view.now),
      told: (fork, change) => memory.change(fork, view.now, change),
    });
    return planned;
  }

  /** The node's answer to a batch, child by child. */
  settled(batchId: number, answers: readonly Answer[], now: number): void {
    const batch = this.batch(batchId);
    if (batch !== undefined) settleBatch(this.#memory, batch, answers, now);
  }

  /** The node certainly did not take the batch, for a reason that holds for all of it. */
  refusedWhole(batchId: number, answer: Exclude<Answer, { kind: "started" }>, now: number): void {
    const batch = this.batch(batchId);
    if (batch === undefined) return;
    const answers = batch.children.map(() => answer);
    settleBatch(this.#memory, batch, answers, now);
  }

  /** Nobody knows whether the batch arrived: the same one is sent again, and its node answers like the first time. */
  uncertain(batchId: number, now: number): void {
    const batch = this.batch(batchId);
    if (batch !== undefined) doubtBatch(batch, now);
  }

  /** How commands ended, by their node. Said twice it is heard once. */
  finished(forkId: string, reports: readonly Report[], now: number): void {
    const fork = this.get(forkId);
    if (fork !== undefined) hearReports(this.#memory, fork, reports, now);
  }

  /** Its owner does not want a child that starts. */
  removeStarting(sandboxId: string, now: number): void {
    const owner = this.#memory.owners.get(sandboxId);
    if (owner?.child.state === "starting") removeStarting(this.#memory, owner, now);
  }

  /** The row of a child's sandbox changed otherwise than by this book. */
  sandboxChanged(sandboxId: string, changed: SandboxChange, now: number): void {
    const owner = this.#memory.owners.get(sandboxId);
    if (owner !== undefined) sandboxChanged(this.#memory, owner, changed, now);
  }

  /** The sandbox was seen to have ended on its node: it has a while to say how. */
  awaitReport(sandboxId: string, how: Interruption, now: number): void {
    const owner = this.#memory.owners.get(sandboxId);
    if (owner !== undefined) awaitReport(owner, how, now);
  }

  /** The node is gone for good: its operator removed it, or it was silent for too long. */
  nodeLost(nodeId: string, now: number): void {
    for (const fork of this.forks()) {
      if (fork.head.state !== "running") continue;
      loseNode(this.#memory, fork, nodeId, now);
      lookForEnd(this.#memory, fork, now);
    }
  }

  /** What time brings: deadlines, sends that are due again, nodes that are gone. */
  tick(view: NodesView): void {
    tickForks(this.#memory, view);
  }

  /** The source is frozen, or needs no freezing. */
  prepared(forkId: string, made: { base: ForkBase; freeze: Freeze }, now: number): void {
    const fork = this.get(forkId);
    if (fork !== undefined) finishPreparing(this.#memory, fork, made, now);
  }

  /** `final`: it can never be frozen. */
  unprepared(forkId: string, failure: { reason: string; final: boolean }, now: number): void {
    const fork = this.get(forkId);
    if (fork !== undefined) retryPreparing(this.#memory, fork, failure, now);
  }

  resolved(forkId: string, mounts: Mounts): void {
    const fork = this.get(forkId);
    if (fork !== undefined) finishResolving(fork, mounts);
  }

  /** `final`: its volumes are gone. */
  unresolved(forkId: string, failure: { reason: string; final: boolean }, now: number): void {
    const fork = this.get(forkId);
    if (fork !== undefined) retryResolving(this.#memory, fork, failure, now);
  }

  /** Other nodes can fetch the stack. */
  shipped(forkId: string, layers: ForkBase["layers"], skipped: readonly string[], now: number): void {
    const fork = this.get(forkId);
    if (fork !== undefined) finishShipping(this.#memory, fork, { layers, skipped }, now);
  }

  unshipped(forkId: string, now: number): void {
    const fork = this.get(forkId);
    if (fork !== undefined) retryShipping(fork, now);
  }

  /** Of a fork that is ending already, only what it leaves behind may still change. */
  cancel(forkId: string, how: { reason: string; deletesAll: boolean }, now: number): void {
    const fork = this.get(forkId);
    if (fork !== undefined) cancelFork(this.#memory, fork, how, now);
  }

  /** A delete was answered (`gone`), or not: then the rows say `deleting`, and the loops go on with it. */
  removed(forkId: string, sandboxIds: readonly string[], gone: boolean, now: number): void {
    const fork = this.get(forkId);
    if (fork !== undefined) settleDelete(this.#memory, fork, sandboxIds, gone, now);
  }

  #load(fork: LiveFork, child: Child): void {
    if (child.state === "starting") resumeStart(this.#memory, fork, child);
    else if (child.state === "running" && child.sandboxId !== null) this.#memory.owners.set(child.sandboxId, { fork, child });
  }
}
