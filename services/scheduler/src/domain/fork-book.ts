import { type ForkBase, type ForkOutcome, LIMITS, type SandboxState, type StartRefusal } from "@banyan/contracts";
import { assert, unreachable } from "@banyan/kernel";
import type { z } from "zod";
import { type ForkRow, type Freeze, hasEnded, type LoadedChild } from "./fork.ts";
import { type Child, type Draft, LiveFork } from "./fork-live.ts";
import { type PlanView, planForks } from "./fork-plan.ts";
import { scoreOf } from "./fork-score.ts";
import { type ForkWrite, mergeSteps, type Step, takeSteps } from "./fork-steps.ts";

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

export type Answer =
  | { kind: "started"; totalMs: number }
  | { kind: "refused"; reason: z.infer<typeof StartRefusal>; retryAfterMs: number }
  | { kind: "failed"; code: string; message: string };

export interface Report {
  index: number;
  sandboxId: string;
  /** Null: the command was interrupted. */
  outcome: ForkOutcome | null;
  sandbox: "running" | "stopped" | "deleted";
}

/** How the nodes are, as far as that concerns what was sent to them. */
export interface NodesView {
  now: number;
  isReachable(nodeId: string): boolean;
  /** Silent for too long, or removed: what was there does not count any more. */
  isLost(nodeId: string): boolean;
}

/** Sends of one batch before its children are given up there. */
const TRIES_MAX = 5;
const RESEND_BASE_MS = 200;
const RESEND_MAX_MS = 5_000;
/** Starts that may fail on their nodes before the child has failed. */
const FAILURES_MAX = 3;
const COOL_OFF_BASE_MS = 200;
const COOL_OFF_MAX_MS = 5_000;
const PREPARES_MAX = 10;
const RETRY_MAX_MS = 30_000;
/** How long a node has to tell how a command ended whose sandbox is seen to have ended. */
const REPORT_GRACE_MS = 30_000;

/**
 * Everything known in memory of the forks that have not ended, and all that is decided about them. No I/O and no clock: each method is told what
 * has happened, changes the memory at once, and queues what has to be written and done. `take` gives that out in order, one write of a fork at a
 * time; its actions are carried out when it is written. A crash at any point loses only what was not written: a book filled from the rows by
 * `add` goes on from there, and sends again what may or may not have arrived.
 */
export class ForkBook {
  readonly #forks = new Map<string, LiveFork>();
  readonly #batches = new Map<number, Batch>();
  /** Whose sandbox it is, of children that start or run. */
  readonly #owners = new Map<string, { fork: LiveFork; child: Child }>();
  readonly #dirty = new Set<string>();
  readonly #newSandboxId: () => string;
  #lastBatchId = 0;

  constructor({ newSandboxId }: { newSandboxId: () => string }) {
    this.#newSandboxId = newSandboxId;
  }

  get size(): number {
    return this.#forks.size;
  }

  has(forkId: string): boolean {
    return this.#forks.has(forkId);
  }

  /** A fork in memory; to be looked at only. */
  get(forkId: string): LiveFork | undefined {
    return this.#forks.get(forkId);
  }

  forks(): IterableIterator<LiveFork> {
    return this.#forks.values();
  }

  batch(batchId: number): Batch | undefined {
    return this.#batches.get(batchId);
  }

  batches(): IterableIterator<Batch> {
    return this.#batches.values();
  }

  /** A child's sandbox that is this book's to look after: it starts, or its fork still waits for it. */
  owns(sandboxId: string): boolean {
    return this.#owners.has(sandboxId);
  }

  /** Its command runs, as far as is known: its node will tell how that ended. */
  awaitsReport(sandboxId: string): boolean {
    const owner = this.#owners.get(sandboxId);
    return owner?.fork.hasCommand === true && owner.child.state === "running";
  }

  /** A new fork, or one from its rows after a restart. */
  add(row: ForkRow, children: readonly LoadedChild[], now: number): void {
    if (hasEnded(row.state) || this.#forks.has(row.id)) return;
    const fork = new LiveFork(row);
    this.#forks.set(row.id, fork);
    for (const loaded of children) this.#load(fork, fork.load(loaded));
    fork.loaded();
    // What befell sandboxes while nobody was there to hear; when all children are known, for it may be the end of the fork.
    if (row.state === "running") {
      for (const { sandboxId, sandboxState } of children)
        if (sandboxId !== null && sandboxState !== "running") this.sandboxChanged(sandboxId, sandboxState ?? "deleted", now);
    }
    if (row.state === "preparing") this.#beginPreparing(fork, now);
    else if (row.state === "ending") this.#carryOutEnd(fork, now);
    else this.#lookForEnd(fork, now);
  }

  /** Drops it from memory: another process has it, or its rows are to be read anew. */
  forget(forkId: string): void {
    const fork = this.#forks.get(forkId);
    if (fork === undefined) return;
    for (const child of fork.everPlanned()) this.#disown(child);
    for (const batch of this.#batches.values()) if (batch.forkId === forkId) this.#batches.delete(batch.id);
    this.#forks.delete(forkId);
    this.#dirty.delete(forkId);
  }

  /** Forks with something to write or to do. */
  dirty(): string[] {
    return [...this.#dirty];
  }

  /** What is to be written next of this fork; the one before must have been written. */
  take(forkId: string): (ForkWrite & { through: number }) | null {
    const fork = this.#forks.get(forkId);
    if (fork === undefined) return null;
    const steps: Step[] = takeSteps(fork.queue);
    // To the end of those that wait: nobody's many writes keep the others from theirs.
    this.#dirty.delete(forkId);
    if (fork.queue.length > 0) this.#dirty.add(forkId);
    if (steps.length === 0) return null;
    const write = mergeSteps(forkId, steps, fork.version, fork.eventSeq);
    fork.version = write.version;
    fork.eventSeq = write.head?.eventSeq ?? fork.eventSeq;
    if (write.head !== null && hasEnded(write.head.state)) this.forget(forkId);
    return { ...write, through: fork.queued - fork.queue.length };
  }

  /** Gives what waits to nodes that have room. The answer is what was planned, to be reserved at once; each is sent when it is written. */
  plan(view: PlanView): Batch[] {
    const planned: Batch[] = [];
    const running = [...this.#forks.values()].filter(({ head }) => head.state === "running");
    planForks(running, this.#batches.values(), view, {
      batch: (fork, nodeId, count) => {
        planned.push(this.#startBatch(fork, nodeId, count, view.now));
      },
      ship: (fork) => this.#ship(fork, view.now),
      told: (fork, change) => this.#change(fork, view.now, change),
    });
    return planned;
  }

  /** The node's answer to a batch, child by child. */
  settled(batchId: number, answers: readonly Answer[], now: number): void {
    const found = this.#endBatch(batchId);
    if (found === null) return;
    const { fork, batch } = found;
    this.#change(fork, now, (draft) => {
      batch.children.forEach((sent, at) => {
        const child = this.#waitedFor(fork, sent, batchId);
        const answer = answers[at] ?? { kind: "failed", code: "internal", message: "its node did not say" };
        if (child !== null) this.#answered(fork, draft, child, answer);
      });
    });
    this.#lookForEnd(fork, now);
  }

  /** The node certainly did not take the batch, for a reason that holds for all of it. */
  refusedWhole(batchId: number, answer: Exclude<Answer, { kind: "started" }>, now: number): void {
    const batch = this.#batches.get(batchId);
    if (batch !== undefined)
      this.settled(
        batchId,
        batch.children.map(() => answer),
        now,
      );
  }

  /** Nobody knows whether the batch arrived: the same one is sent again, and its node answers like the first time. */
  uncertain(batchId: number, now: number): void {
    const batch = this.#batches.get(batchId);
    if (batch === undefined) return;
    batch.phase = "uncertain";
    batch.dueAt = now + Math.min(RESEND_MAX_MS, RESEND_BASE_MS * 2 ** batch.tries);
  }

  /** How commands ended, by their node. Said twice it is heard once. */
  finished(forkId: string, reports: readonly Report[], now: number): void {
    const fork = this.#forks.get(forkId);
    if (fork === undefined) return;
    let winner: Child | null = null;
    this.#change(fork, now, (draft) => {
      for (const report of reports) {
        const child = fork.planned[report.index];
        if (child === undefined || child.sandboxId !== report.sandboxId) continue;
        if (child.state !== "starting" && child.state !== "running") continue;
        if (this.#reported(fork, draft, child, report)) winner ??= child;
      }
    });
    if (winner !== null && fork.row.spec.policy.kind === "first_success") this.#win(fork, winner, now);
    this.#lookForEnd(fork, now);
  }

  /** The row of a child's sandbox changed otherwise than by this book. */
  sandboxChanged(sandboxId: string, state: SandboxState, now: number): void {
    const owner = this.#owners.get(sandboxId);
    if (owner === undefined) return;
    const { fork, child } = owner;
    if (child.state !== "running") return;
    if (state === "deleting" || state === "deleted") {
      child.live = false;
      if (fork.hasCommand) this.#change(fork, now, (draft) => this.#close(fork, draft, child, "cancelled", SANDBOX_DELETED));
      else this.#disown(child);
    } else if (fork.hasCommand && (state === "stopped" || state === "stopping")) this.awaitReport(sandboxId, "failed", now);
    else if (state === "failed") this.awaitReport(sandboxId, "lost", now);
    this.#lookForEnd(fork, now);
  }

  /** The sandbox was seen to have ended on its node: it has a while to say how. */
  awaitReport(sandboxId: string, as: "failed" | "lost", now: number): void {
    const owner = this.#owners.get(sandboxId);
    if (owner === undefined || owner.child.state !== "running" || owner.child.grace !== null) return;
    const error = as === "failed" ? SANDBOX_STOPPED : DISK_LOST;
    owner.fork.wait(owner.child, { until: now + REPORT_GRACE_MS, as, error });
  }

  /** The node is gone for good: its operator removed it, or it was silent for too long. */
  nodeLost(nodeId: string, now: number): void {
    for (const fork of this.#forks.values()) {
      if (fork.head.state !== "running") continue;
      this.#loseNode(fork, nodeId, now);
      this.#lookForEnd(fork, now);
    }
  }

  /** What time brings: deadlines, sends that are due again, nodes that are gone. */
  tick(view: NodesView): void {
    for (const fork of this.#forks.values()) this.#tickFork(fork, view);
    for (const batch of this.#batches.values()) {
      if (batch.phase !== "uncertain" || batch.dueAt > view.now || !view.isReachable(batch.nodeId)) continue;
      const fork = this.#forks.get(batch.forkId);
      assert(fork !== undefined, `batch ${batch.id} has no fork`);
      if (++batch.tries > TRIES_MAX) this.#giveUp(fork, batch, view.now);
      else {
        batch.phase = "sent";
        this.#change(fork, view.now, (draft) => draft.actions.push({ kind: "send", batchId: batch.id }));
      }
    }
  }

  /** The source is frozen, or needs no freezing. */
  prepared(forkId: string, made: { base: ForkBase; freeze: Freeze }, now: number): void {
    const fork = this.#forks.get(forkId);
    if (fork?.head.state !== "preparing") return;
    this.#change(fork, now, (draft) => {
      fork.setBase(made.base);
      Object.assign(fork.head, { freeze: made.freeze, state: "running", stateReason: null, startedAt: now });
      draft.stateTold = true;
    });
  }

  /** `final`: it can never be frozen. */
  unprepared(forkId: string, failure: { reason: string; final: boolean }, now: number): void {
    const fork = this.#forks.get(forkId);
    if (fork?.head.state !== "preparing") return;
    fork.preparing.tries++;
    if (failure.final || fork.preparing.tries >= PREPARES_MAX) this.#end(fork, { as: "failed", reason: failure.reason }, now);
    else fork.preparing.dueAt = now + retryAfterMs(fork.preparing.tries);
  }

  /** Other nodes can fetch the stack. */
  shipped(forkId: string, layers: ForkBase["layers"], skipped: readonly string[], now: number): void {
    const fork = this.#forks.get(forkId);
    const base = fork?.head.base;
    if (fork === undefined || !base) return;
    fork.shipping.underWay = false;
    if (base.shipped !== null) return;
    this.#change(fork, now, (draft) => {
      fork.setBase({ ...base, shipped: layers });
      if (fork.head.freeze !== null) fork.head.freeze = { ...fork.head.freeze, skipped: skipped.slice(0, 100) };
      draft.headChanged = true;
    });
  }

  unshipped(forkId: string, now: number): void {
    const fork = this.#forks.get(forkId);
    if (fork === undefined) return;
    fork.shipping = { tries: fork.shipping.tries + 1, dueAt: now + retryAfterMs(fork.shipping.tries + 1), underWay: false };
  }

  /** Of a fork that is ending already, only what it leaves behind may still change. */
  cancel(forkId: string, how: { reason: string; deletesAll: boolean }, now: number): void {
    const fork = this.#forks.get(forkId);
    if (fork === undefined) return;
    if (fork.head.state !== "ending") {
      this.#end(fork, { as: "cancelled", ...how }, now);
      return;
    }
    if (!how.deletesAll || fork.head.deletesAll) return;
    this.#change(fork, now, (draft) => {
      fork.head.deletesAll = true;
      draft.headChanged = true;
    });
    this.#carryOutEnd(fork, now);
  }

  /** A delete was answered (`gone`), or not: then the rows say `deleting`, and the loops go on with it. */
  removed(forkId: string, sandboxIds: readonly string[], gone: boolean, now: number): void {
    const fork = this.#forks.get(forkId);
    if (fork === undefined) return;
    fork.removing--;
    this.#change(fork, now, (draft) => {
      draft.freed.push(...sandboxIds);
      if (gone) draft.ended.push(...sandboxIds.map((sandboxId) => ({ sandboxId, to: "deleted" as const, reason: null })));
    });
    if (fork.head.state === "ending") this.#lookForLast(fork, now);
  }

  // ---- children

  #load(fork: LiveFork, child: Child): void {
    if (child.state === "starting") this.#loadStarting(fork, child);
    else if (child.state === "running" && child.sandboxId !== null) this.#owners.set(child.sandboxId, { fork, child });
  }

  #loadStarting(fork: LiveFork, child: Child): void {
    const { sandboxId, nodeId } = child;
    if (sandboxId === null || nodeId === null) throw new RangeError(`child ${child.index} of ${fork.row.id} starts nowhere`);
    this.#owners.set(sandboxId, { fork, child });
    const bytes = fork.children.bytes(child.index);
    const open = [...this.#batches.values()].findLast(
      (batch) => batch.forkId === fork.row.id && batch.nodeId === nodeId && batch.children.length < LIMITS.forkBatchMax,
    );
    // Those with much of their own go alone: how they were packed is not written down.
    const batch = open !== undefined && bytes * LIMITS.forkBatchMax <= BATCH_BYTES_MAX ? open : this.#newBatch(fork, nodeId, 0);
    batch.phase = "uncertain";
    batch.children.push({ index: child.index, sandboxId });
    child.batchId = batch.id;
  }

  #newBatch(fork: LiveFork, nodeId: string, now: number): Batch {
    const { id: forkId, orgId } = fork.row;
    const batch: Batch = { id: ++this.#lastBatchId, forkId, orgId, nodeId, children: [], phase: "sent", tries: 0, dueAt: now };
    this.#batches.set(batch.id, batch);
    return batch;
  }

  /** Takes up to so many that wait, as far as they fit into one message, and has them sent. */
  #startBatch(fork: LiveFork, nodeId: string, count: number, now: number): Batch {
    const batch = this.#newBatch(fork, nodeId, now);
    let bytes = 0;
    this.#change(fork, now, (draft) => {
      while (batch.children.length < Math.min(count, LIMITS.forkBatchMax) && fork.waiting > 0) {
        if (batch.children.length > 0 && bytes >= BATCH_BYTES_MAX) break;
        const child = fork.next();
        bytes += fork.children.bytes(child.index);
        const sandboxId = this.#newSandboxId();
        Object.assign(child, { sandboxId, nodeId, batchId: batch.id, attempts: child.attempts + 1, error: null });
        fork.move(draft, child, "starting");
        this.#owners.set(sandboxId, { fork, child });
        batch.children.push({ index: child.index, sandboxId });
      }
      draft.actions.push({ kind: "send", batchId: batch.id });
    });
    return batch;
  }

  /** The child that this batch still is about. */
  #waitedFor(fork: LiveFork, sent: { index: number; sandboxId: string }, batchId: number): Child | null {
    const child = fork.planned[sent.index];
    return child?.state === "starting" && child.sandboxId === sent.sandboxId && child.batchId === batchId ? child : null;
  }

  #answered(fork: LiveFork, draft: Draft, child: Child, answer: Answer): void {
    const { nodeId, sandboxId } = child;
    if (nodeId === null || sandboxId === null) return;
    switch (answer.kind) {
      case "started":
        fork.coolOff.delete(nodeId);
        Object.assign(child, { startMs: answer.totalMs, startedAt: draft.at, batchId: null, live: true });
        draft.made.push({ sandboxId, index: child.index, nodeId, state: "running", reason: null, startedAt: draft.at });
        fork.move(draft, child, "running");
        break;
      case "refused":
        coolOff(fork, nodeId, answer.retryAfterMs, draft.at);
        this.#takeBack(fork, draft, child);
        break;
      case "failed":
        coolOff(fork, nodeId, 0, draft.at);
        child.failures++;
        child.error = { code: answer.code, message: answer.message };
        if (child.failures < FAILURES_MAX) this.#takeBack(fork, draft, child);
        else {
          draft.freed.push(sandboxId);
          this.#close(fork, draft, child, "failed", child.error);
        }
        break;
      default:
        unreachable(answer);
    }
  }

  /** No node has it: it waits again, as itself. */
  #takeBack(fork: LiveFork, draft: Draft, child: Child): void {
    if (child.sandboxId !== null) draft.freed.push(child.sandboxId);
    this.#disown(child);
    fork.sendBack(draft, child);
  }

  /** True where it succeeded. */
  #reported(fork: LiveFork, draft: Draft, child: Child, { outcome, sandbox }: Report): boolean {
    const { sandboxId, nodeId } = child;
    if (sandboxId === null || nodeId === null) return false;
    // Its command has ended before its start was answered.
    if (child.state === "starting" && sandbox !== "deleted") {
      Object.assign(child, { startedAt: draft.at, batchId: null, live: true });
      draft.made.push({ sandboxId, index: child.index, nodeId, state: sandbox, reason: null, startedAt: draft.at });
    } else if (child.state === "starting") draft.freed.push(sandboxId);
    else if (sandbox !== "running") draft.end(child, sandbox, "fork_finished");
    if (sandbox === "deleted") child.live = false;
    if (outcome === null) {
      this.#lose(fork, draft, child, { ...INTERRUPTED, hasNode: true });
      return false;
    }
    const score = fork.row.spec.policy.kind === "best" ? scoreOf(outcome) : null;
    child.score = score;
    const unscored = fork.row.spec.policy.kind === "best" && outcome.exitCode === 0 && score === null;
    const succeeded = outcome.exitCode === 0 && !unscored;
    this.#close(fork, draft, child, succeeded ? "succeeded" : "failed", unscored ? NO_SCORE : null, outcome);
    return succeeded;
  }

  /** What it did does not count. Where it may be made again, nothing of it is to be left. */
  #lose(fork: LiveFork, draft: Draft, child: Child, why: { code: string; message: string; hasNode: boolean }): void {
    const { sandboxId, nodeId, live } = child;
    if (sandboxId === null || nodeId === null) return;
    const error = { code: why.code, message: why.message };
    const again = child.losses < fork.row.spec.retries && fork.head.state === "running";
    if (!live) draft.freed.push(sandboxId);
    else if (again) draft.end(child, "deleting", why.code);
    else if (!why.hasNode) draft.end(child, "failed", why.code);
    child.losses++;
    if (!again) {
      this.#close(fork, draft, child, "lost", error);
      return;
    }
    if (why.hasNode) this.#delete(fork, draft, nodeId, [sandboxId]);
    this.#disown(child);
    child.error = error;
    fork.sendBack(draft, child);
  }

  /** It has come to its end. */
  #close(
    fork: LiveFork,
    draft: Draft,
    child: Child,
    state: "succeeded" | "failed" | "cancelled" | "lost",
    error: Child["error"],
    outcome?: ForkOutcome,
  ): void {
    this.#disown(child);
    Object.assign(child, { error, endedAt: draft.at, batchId: null });
    fork.move(draft, child, state, outcome);
  }

  #disown(child: Child): void {
    if (child.sandboxId !== null) this.#owners.delete(child.sandboxId);
  }

  #delete(fork: LiveFork, draft: Draft, nodeId: string, sandboxIds: string[]): void {
    fork.removing++;
    draft.actions.push({ kind: "delete", nodeId, sandboxIds });
  }

  // ---- batches

  #endBatch(batchId: number): { fork: LiveFork; batch: Batch } | null {
    const batch = this.#batches.get(batchId);
    if (batch === undefined) return null;
    this.#batches.delete(batchId);
    const fork = this.#forks.get(batch.forkId);
    return fork === undefined ? null : { fork, batch };
  }

  /** Its node is there and does not answer to it. What it may have made of it is deleted. */
  #giveUp(fork: LiveFork, batch: Batch, now: number): void {
    this.#batches.delete(batch.id);
    coolOff(fork, batch.nodeId, RESEND_MAX_MS, now);
    this.#change(fork, now, (draft) => {
      const given = batch.children.flatMap((sent) => this.#waitedFor(fork, sent, batch.id) ?? []);
      const sandboxIds = given.flatMap(({ sandboxId }) => sandboxId ?? []);
      if (sandboxIds.length > 0) this.#delete(fork, draft, batch.nodeId, sandboxIds);
      for (const child of given) this.#lose(fork, draft, child, { ...NO_ANSWER, hasNode: false });
    });
    this.#lookForEnd(fork, now);
  }

  #loseNode(fork: LiveFork, nodeId: string, now: number): void {
    for (const batch of this.#batches.values()) if (batch.nodeId === nodeId && batch.forkId === fork.row.id) this.#batches.delete(batch.id);
    const lost = [...fork.everPlanned()].filter(
      (child) => child.nodeId === nodeId && child.sandboxId !== null && this.#owners.has(child.sandboxId),
    );
    for (let from = 0; from < lost.length; from += LIMITS.forkBatchMax) {
      this.#change(fork, now, (draft) => {
        for (const child of lost.slice(from, from + LIMITS.forkBatchMax)) this.#lose(fork, draft, child, { ...NODE_LOST, hasNode: false });
      });
    }
  }

  // ---- forks

  #tickFork(fork: LiveFork, view: NodesView): void {
    const { now } = view;
    if (fork.head.state === "ending") return;
    if (now >= fork.row.deadlineAt) {
      this.#end(fork, { as: "cancelled", reason: "deadline" }, now);
      return;
    }
    const { preparing, head } = fork;
    if (preparing.dueAt !== null && preparing.dueAt <= now) this.#beginPreparing(fork, now);
    for (const nodeId of [...fork.onNode.keys()]) if (!view.isReachable(nodeId) && view.isLost(nodeId)) this.#loseNode(fork, nodeId, now);
    const dueGraces = [...fork.graces].filter(({ grace }) => grace !== null && grace.until <= now);
    if (dueGraces.length > 0) this.#change(fork, now, (draft) => this.#endGraces(fork, draft, dueGraces));
    if (head.base !== null && head.base.shipped === null && head.base.nodeId !== null && fork.waiting > 0) {
      const { nodeId } = head.base;
      if (!view.isReachable(nodeId) && view.isLost(nodeId)) this.#strand(fork, now);
    }
    this.#lookForEnd(fork, now);
  }

  #endGraces(fork: LiveFork, draft: Draft, due: readonly Child[]): void {
    for (const child of due) {
      if (child.grace === null) continue;
      const { as, error } = child.grace;
      if (as === "failed") this.#close(fork, draft, child, "failed", error);
      else this.#lose(fork, draft, child, { ...error, hasNode: true });
    }
  }

  /** The files were on one node only, and that is gone: nothing can start from them any more. */
  #strand(fork: LiveFork, now: number): void {
    const waiting = fork.again.splice(0);
    this.#change(fork, now, (draft) => {
      for (const index of waiting) {
        const child = fork.planned[index];
        if (child !== undefined) this.#close(fork, draft, child, "failed", SOURCE_LOST);
      }
      fork.endRest(draft, "failed", SOURCE_LOST);
      fork.head.stateReason = SOURCE_LOST.code;
      draft.stateTold = true;
    });
  }

  #beginPreparing(fork: LiveFork, now: number): void {
    fork.preparing.dueAt = null;
    const { base } = fork.head;
    if (base !== null) this.prepared(fork.row.id, { base, freeze: fork.head.freeze ?? NOTHING_FROZEN }, now);
    else this.#change(fork, now, (draft) => draft.actions.push({ kind: "prepare" }));
  }

  #ship(fork: LiveFork, now: number): void {
    const { base } = fork.head;
    const { shipping } = fork;
    if (base === null || base.nodeId === null || shipping.underWay || (shipping.dueAt !== null && shipping.dueAt > now)) return;
    const { nodeId, layers } = base;
    shipping.underWay = true;
    this.#change(fork, now, (draft) => draft.actions.push({ kind: "ship", nodeId, layers }));
  }

  #win(fork: LiveFork, winner: Child, now: number): void {
    fork.head.winner = winner.index;
    this.#end(fork, { as: "done", reason: null }, now);
  }

  /** Every child has come as far as it will. */
  #lookForEnd(fork: LiveFork, now: number): void {
    if (fork.head.state !== "running" || fork.unfinished > 0) return;
    if (fork.row.spec.policy.kind === "best") fork.head.winner = bestOf(fork);
    this.#end(fork, { as: "done", reason: fork.head.stateReason === SOURCE_LOST.code ? SOURCE_LOST.code : null }, now);
  }

  #end(fork: LiveFork, how: { as: "done" | "cancelled" | "failed"; reason: string | null; deletesAll?: boolean }, now: number): void {
    if (fork.head.state === "ending") return;
    this.#change(fork, now, (draft) => {
      Object.assign(fork.head, { state: "ending", stateReason: how.reason, endsAs: how.as, deletesAll: how.deletesAll ?? false });
      draft.stateTold = true;
    });
    this.#carryOutEnd(fork, now);
  }

  /** Ends what has not ended and deletes what is not kept; begun anew after a restart, it does what is left of it. */
  #carryOutEnd(fork: LiveFork, now: number): void {
    for (const batch of this.#batches.values()) if (batch.forkId === fork.row.id) this.#batches.delete(batch.id);
    const isOpen = ({ state }: Child): boolean => state === "waiting" || state === "starting" || (state === "running" && fork.hasCommand);
    const ending: Child[] = [];
    const leaving = new Map<string, Child[]>();
    for (const child of fork.everPlanned()) {
      const open = isOpen(child);
      if (open) ending.push(child);
      const goes = child.state === "starting" || (child.live && (open || isUnwanted(fork, child)));
      if (goes && child.nodeId !== null) leaving.set(child.nodeId, [...(leaving.get(child.nodeId) ?? []), child]);
    }
    fork.again.length = 0;
    for (const children of chunksOf(ending))
      this.#change(fork, now, (draft) => {
        for (const child of children) {
          // In one step: what is cancelled and still stands would be nobody's after a crash.
          if (child.live) draft.end(child, "deleting", "fork_ended");
          child.live = false;
          this.#close(fork, draft, child, "cancelled", null);
        }
      });
    this.#change(fork, now, (draft) => fork.endRest(draft, "cancelled", null));
    for (const [nodeId, all] of leaving) for (const children of chunksOf(all)) this.#leave(fork, nodeId, children, now);
    this.#lookForLast(fork, now);
  }

  #leave(fork: LiveFork, nodeId: string, children: readonly Child[], now: number): void {
    this.#change(fork, now, (draft) => {
      for (const child of children) {
        if (child.live) draft.end(child, "deleting", "fork_ended");
        child.live = false;
      }
      this.#delete(
        fork,
        draft,
        nodeId,
        children.flatMap(({ sandboxId }) => sandboxId ?? []),
      );
    });
  }

  /** Nothing of it is under way any more. */
  #lookForLast(fork: LiveFork, now: number): void {
    const { head, row } = fork;
    if (head.state !== "ending" || fork.removing > 0) return;
    this.#change(fork, now, (draft) => {
      Object.assign(head, { state: head.endsAs ?? "failed", endedAt: now });
      draft.stateTold = true;
      if (row.frozenId !== null && head.base?.nodeId)
        draft.actions.push({ kind: "release", nodeId: head.base.nodeId, frozenId: row.frozenId });
      draft.actions.push({ kind: "ended" });
    });
  }

  #change(fork: LiveFork, now: number, run: (draft: Draft) => void): void {
    fork.change(now, run);
    if (fork.queue.length > 0) this.#dirty.add(fork.row.id);
  }
}

/** Of a message, for what children have of their own. */
const BATCH_BYTES_MAX = 256 * 1024;

const NODE_LOST = { code: "node.lost", message: "its node is gone" };
const NO_ANSWER = { code: "node.unreachable", message: "its node did not answer" };
const INTERRUPTED = { code: "fork.interrupted", message: "its command was interrupted" };
const DISK_LOST = { code: "sandbox.lost", message: "its sandbox was lost" };
const SANDBOX_STOPPED = { code: "sandbox.stopped", message: "its sandbox ended before its command" };
const SANDBOX_DELETED = { code: "sandbox.deleted", message: "its sandbox was deleted" };
const NO_SCORE = { code: "fork.no_score", message: "the last line of its output is not a number" };
const SOURCE_LOST = { code: "fork.source_lost", message: "the only node that had its files is gone" };
const NOTHING_FROZEN: Freeze = { way: "none", pausedMs: 0, skipped: [] };

const retryAfterMs = (tries: number): number => Math.min(RETRY_MAX_MS, RESEND_BASE_MS * 2 ** tries);

/** A node that refuses is left alone for a while, for longer each time. */
function coolOff(fork: LiveFork, nodeId: string, askedMs: number, now: number): void {
  const before = fork.coolOff.get(nodeId);
  // Refusals of one answer count once.
  if (before !== undefined && before.until > now) return;
  const times = (before?.times ?? 0) + 1;
  const ms = Math.min(COOL_OFF_MAX_MS, Math.max(askedMs, COOL_OFF_BASE_MS * 2 ** (times - 1)));
  fork.coolOff.set(nodeId, { until: now + ms, times });
}

/** Goes with the fork's end though it has come to its own. */
function isUnwanted(fork: LiveFork, child: Child): boolean {
  if (fork.head.deletesAll) return true;
  const { policy, losers } = fork.row.spec;
  return fork.head.endsAs === "done" && policy.kind !== "all" && losers === "delete" && child.index !== fork.head.winner;
}

function bestOf(fork: LiveFork): number | null {
  const { policy } = fork.row.spec;
  if (policy.kind !== "best") return null;
  let best: Child | null = null;
  for (const child of fork.everPlanned()) {
    if (child.state !== "succeeded" || child.score === null) continue;
    const better = best === null || best.score === null || (policy.goal === "max" ? child.score > best.score : child.score < best.score);
    if (better) best = child;
  }
  return best?.index ?? null;
}

function* chunksOf<T>(items: readonly T[]): Generator<T[]> {
  for (let from = 0; from < items.length; from += LIMITS.forkBatchMax) yield items.slice(from, from + LIMITS.forkBatchMax);
}
