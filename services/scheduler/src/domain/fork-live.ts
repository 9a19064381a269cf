import type { ForkBase, ForkChildState, ForkCounts, ForkOutcome } from "@banyan/contracts";
import { assert } from "@banyan/kernel";
import { type ChildError, type ChildRow, type ForkRow, type LoadedChild, NO_COUNTS } from "./fork.ts";
import { ForkChildren } from "./fork-children.ts";
import type { ForkAction, ForkHead, NewSandbox, SandboxEnd, Step } from "./fork-steps.ts";
import { type Mounts, NO_MOUNTS } from "./mounts.ts";

/** A child in memory. Its outcome is not kept: it is in its row. */
export interface Child extends ChildRow {
  batchId: number | null;
  /** Its sandbox has a row and is not known to be deleted. */
  live: boolean;
  grace: Grace | null;
}

/** Something befell its sandbox while its command ran: what it counts as, unless its node tells by then how the command ended. */
export interface Grace {
  until: number;
  as: "failed" | "lost";
  error: ChildError;
}

/** A step while it is being made. */
export class Draft {
  readonly touched = new Map<Child, ForkOutcome | undefined>();
  readonly made: NewSandbox[] = [];
  readonly ended: SandboxEnd[] = [];
  readonly freed: string[] = [];
  readonly actions: ForkAction[] = [];
  stateTold = false;
  headChanged = false;
  /** The state of those never planned changed: no row tells of that. */
  restChanged = false;
  readonly at: number;

  constructor(at: number) {
    this.at = at;
  }

  end(child: Child, to: SandboxEnd["to"], reason: string): void {
    if (child.sandboxId !== null) this.ended.push({ sandboxId: child.sandboxId, to, reason });
  }
}

/** One unfinished fork in memory: its children, its counts, and the changes that are not written yet. */
export class LiveFork {
  readonly row: ForkRow;
  readonly children: ForkChildren;
  readonly head: ForkHead;
  readonly counts: ForkCounts;
  /** By index; those never planned have none. */
  readonly planned: (Child | undefined)[];
  /** Those that wait again, in the order in which they came back. */
  readonly again: number[] = [];
  /** From here on, none was ever planned. Holes before it, left by a crash, are in `again`. */
  nextFresh = 0;
  #known = 0;
  /** Children that each node starts or runs. */
  readonly onNode = new Map<string, number>();
  readonly coolOff = new Map<string, { until: number; times: number }>();
  readonly graces = new Set<Child>();
  /** Deletes that were sent and not answered. */
  removing = 0;
  preparing: { tries: number; dueAt: number | null } = { tries: 0, dueAt: null };
  /** Null while it is not known how a node comes by its volumes. */
  mounts: Mounts | null;
  readonly resolving: { tries: number; dueAt: number | null } = { tries: 0, dueAt: null };
  shipping: { tries: number; dueAt: number | null; underWay: boolean } = { tries: 0, dueAt: null, underWay: false };
  readonly queue: Step[] = [];
  /** Steps ever queued. */
  queued = 0;
  version: number;
  eventSeq: number;

  constructor(row: ForkRow, mounts: Mounts | null) {
    this.row = row;
    this.mounts = row.template.volumes.length === 0 ? NO_MOUNTS : mounts;
    this.children = new ForkChildren(row);
    const { state, stateReason, endsAs, deletesAll, restState, restError, inWaves, winner, base, freeze, startedAt, endedAt } = row;
    this.head = { state, stateReason, endsAs, deletesAll, restState, restError, inWaves, winner, base, freeze, startedAt, endedAt };
    this.counts = { ...NO_COUNTS, total: row.spec.count, [restState]: row.spec.count };
    this.planned = new Array(row.spec.count);
    this.version = row.version;
    this.eventSeq = row.eventSeq;
  }

  get hasCommand(): boolean {
    return this.row.spec.command !== null;
  }

  get waiting(): number {
    return this.again.length + (this.head.restState === "waiting" ? this.row.spec.count - this.nextFresh : 0);
  }

  /** Starting, or running a command: what `maxParallel` bounds. */
  get inFlight(): number {
    return this.counts.starting + (this.hasCommand ? this.counts.running : 0);
  }

  get unfinished(): number {
    return this.counts.waiting + this.inFlight;
  }

  /** Takes up a row again. */
  load(row: LoadedChild): Child {
    const { sandboxState, sandboxReason: _sandboxReason, ...columns } = row;
    const live = sandboxState !== null && sandboxState !== "deleting" && sandboxState !== "deleted";
    const child: Child = { ...columns, batchId: null, live, grace: null };
    this.planned[row.index] = child;
    this.#known++;
    this.counts[this.head.restState]--;
    this.counts[child.state]++;
    if (child.state === "waiting") this.again.push(child.index);
    this.#countOn(child, 1);
    return child;
  }

  /** After the rows: what none of them names waits, wherever it lies. */
  loaded(): void {
    this.nextFresh = this.planned.findLastIndex((child) => child !== undefined) + 1;
    for (let index = 0; index < this.nextFresh; index++)
      if (this.planned[index] === undefined && this.head.restState === "waiting") this.again.push(index);
  }

  /** The next to be planned; the caller has seen that one waits. */
  next(): Child {
    const index = this.again.shift() ?? this.nextFresh++;
    assert(index < this.row.spec.count, `child ${index} of ${this.row.spec.count}`);
    const child = this.planned[index];
    if (child !== undefined) return child;
    const fresh = freshChild(index);
    this.planned[index] = fresh;
    this.#known++;
    return fresh;
  }

  /** What becomes of those that were never planned. */
  endRest(draft: Draft, state: "cancelled" | "failed", error: ChildError | null): void {
    if (this.head.restState !== "waiting") return;
    const rest = this.row.spec.count - this.#known;
    this.counts.waiting -= rest;
    this.counts[state] += rest;
    this.head.restState = state;
    this.head.restError = error;
    draft.headChanged = true;
    draft.restChanged = rest > 0;
  }

  /** Every child that was ever planned. */
  *everPlanned(): Generator<Child> {
    for (const child of this.planned) if (child !== undefined) yield child;
  }

  /** Moves a child on. Its place on a node is counted by its state. */
  move(draft: Draft, child: Child, state: ForkChildState, outcome?: ForkOutcome): void {
    this.#countOn(child, -1);
    this.counts[child.state]--;
    child.state = state;
    this.counts[state]++;
    this.#countOn(child, 1);
    if (child.grace !== null) this.#endGrace(child);
    draft.touched.set(child, outcome ?? draft.touched.get(child));
  }

  /** Back to the end of the queue, as nobody's. Its place on its node is given up first. */
  sendBack(draft: Draft, child: Child): void {
    this.move(draft, child, "waiting");
    Object.assign(child, { sandboxId: null, nodeId: null, batchId: null, live: false, startMs: null, startedAt: null });
    this.again.push(child.index);
  }

  wait(child: Child, grace: Grace): void {
    child.grace = grace;
    this.graces.add(child);
  }

  /** One indivisible change. */
  change(at: number, run: (draft: Draft) => void): void {
    const draft = new Draft(at);
    run(draft);
    const { made, ended, freed, actions, stateTold, headChanged, restChanged } = draft;
    const children = Array.from(draft.touched, ([child, outcome]) => ({ ...rowOf(child), ...(outcome !== undefined && { outcome }) }));
    if (children.length + made.length + ended.length + freed.length + actions.length === 0 && !stateTold && !headChanged) return;
    this.queued++;
    this.queue.push({
      at,
      head: { ...this.head },
      stateTold,
      headChanged,
      restChanged,
      counts: { ...this.counts },
      children,
      made,
      ended,
      freed,
      actions,
    });
  }

  setBase(base: ForkBase): void {
    this.head.base = base;
    this.row.base = base;
  }

  #endGrace(child: Child): void {
    child.grace = null;
    this.graces.delete(child);
  }

  #countOn({ state, nodeId }: Child, sign: 1 | -1): void {
    if (nodeId === null || (state !== "starting" && state !== "running")) return;
    const count = (this.onNode.get(nodeId) ?? 0) + sign;
    if (count === 0) this.onNode.delete(nodeId);
    else this.onNode.set(nodeId, count);
  }
}

function freshChild(index: number): Child {
  return {
    index,
    sandboxId: null,
    nodeId: null,
    state: "waiting",
    attempts: 0,
    failures: 0,
    losses: 0,
    score: null,
    error: null,
    startMs: null,
    startedAt: null,
    endedAt: null,
    batchId: null,
    live: false,
    grace: null,
  };
}

function rowOf({ batchId: _batchId, live: _live, grace: _grace, ...row }: Child): ChildRow {
  return row;
}
