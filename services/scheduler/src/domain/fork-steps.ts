import type { ForkBase, ForkCounts, ForkEvent, ForkState, StackLayer } from "@banyan/contracts";
import { LIMITS } from "@banyan/contracts";
import type { ChildChange, ChildError, Freeze, RestState } from "./fork.ts";

/** A row of a child's sandbox that is made now, because its node has acknowledged it. */
export interface NewSandbox {
  sandboxId: string;
  index: number;
  nodeId: string;
  state: "running" | SandboxEnd["to"];
  reason: string | null;
  startedAt: number;
}

/** How the row of a child's sandbox goes on. Of one that has gone on otherwise meanwhile, nothing changes. */
export interface SandboxEnd {
  sandboxId: string;
  to: "stopped" | "failed" | "deleting" | "deleted";
  /** Null: as it was. */
  reason: string | null;
}

/** The columns of a fork's row that change in its life; as they are after a step. */
export interface ForkHead {
  state: ForkState;
  stateReason: string | null;
  endsAs: "done" | "cancelled" | "failed" | null;
  deletesAll: boolean;
  restState: RestState;
  restError: ChildError | null;
  inWaves: boolean;
  winner: number | null;
  base: ForkBase | null;
  freeze: Freeze | null;
  startedAt: number | null;
  endedAt: number | null;
}

/** What is to be done once the rows say so. Each may be done twice. */
export type ForkAction =
  /** Freeze the source; then `prepared` or `unprepared`. */
  | { kind: "prepare" }
  /** Make orders of its volumes; then `resolved` or `unresolved`. */
  | { kind: "resolve" }
  /** Put the stack where other nodes can fetch it; then `shipped` or `unshipped`. */
  | { kind: "ship"; nodeId: string; layers: StackLayer[] }
  /** Then `settled`, `refusedWhole` or `uncertain`. */
  | { kind: "send"; batchId: number }
  /** Then `removed`, whatever came of it. */
  | { kind: "delete"; nodeId: string; sandboxIds: string[] }
  | { kind: "release"; nodeId: string; frozenId: string }
  /** Tell the world; the book has forgotten it. */
  | { kind: "ended" };

/** One indivisible change of a fork: all of it is written at once, and then its actions are carried out. */
export interface Step {
  at: number;
  head: ForkHead;
  /** The state or its reason changed, and that is told. */
  stateTold: boolean;
  /** Something else of the head changed. */
  headChanged: boolean;
  /** The state of those never planned changed. */
  restChanged: boolean;
  counts: ForkCounts;
  children: ChildChange[];
  made: NewSandbox[];
  ended: SandboxEnd[];
  /** Sandboxes that hold nothing of their node any more and have no row: what was reserved for them is free. */
  freed: string[];
  actions: ForkAction[];
}

/** What is written in one statement. */
export interface ForkWrite {
  forkId: string;
  /** Before and after. */
  fromVersion: number;
  version: number;
  at: number;
  /** Null: nothing to write, only to do. */
  head: (ForkHead & { counts: ForkCounts; eventSeq: number }) | null;
  /** The base may differ from the one written last. */
  baseChanged: boolean;
  children: ChildChange[];
  made: NewSandbox[];
  ended: SandboxEnd[];
  freed: string[];
  events: ForkEvent[];
  actions: ForkAction[];
}

/** Children in one write, beyond the last step's. */
const WRITE_CHILDREN_MAX = 1_000;

/** Takes as many steps from the front of the queue as make one write. */
export function takeSteps(queue: Step[]): Step[] {
  let size = 0;
  let count = 0;
  for (const step of queue) {
    if (count > 0 && size + step.children.length > WRITE_CHILDREN_MAX) break;
    size += step.children.length;
    count++;
  }
  return queue.splice(0, count);
}

/** Steps as one write. A child that changed twice is written and told as it is at the end. */
export function mergeSteps(forkId: string, steps: readonly Step[], fromVersion: number, eventSeq: number): ForkWrite {
  const last = steps.at(-1);
  if (last === undefined) throw new RangeError("no steps to write");
  const changes = new Map<number, ChildChange>();
  const made = new Map<string, NewSandbox>();
  const ended = new Map<string, SandboxEnd>();
  const write: ForkWrite = {
    forkId,
    fromVersion,
    version: fromVersion,
    at: last.at,
    head: null,
    baseChanged: false,
    children: [],
    made: [],
    ended: [],
    freed: [],
    events: [],
    actions: [],
  };
  let touched = false;
  let untold = new Map<number, ChildChange>();
  let restUntold = false;
  const tell = (event: ForkEvent["event"], at: number): void => void write.events.push({ seq: ++eventSeq, at, event });
  const tellChildren = (step: Step): void => {
    if (untold.size > 0 || restUntold) for (const event of childrenEvents(untold, step.counts)) tell(event, step.at);
    untold = new Map();
    restUntold = false;
  };
  for (const step of steps) {
    touched ||= step.stateTold || step.headChanged || step.children.length > 0 || step.made.length > 0 || step.ended.length > 0;
    for (const change of step.children) {
      // A second change of one write must not lose the outcome that the first brought.
      const outcome = change.outcome ?? changes.get(change.index)?.outcome;
      changes.set(change.index, outcome === undefined ? change : { ...change, outcome });
      untold.set(change.index, changes.get(change.index) ?? change);
    }
    restUntold ||= step.restChanged;
    for (const one of step.made) made.set(one.sandboxId, one);
    for (const one of step.ended) endSandbox(made, ended, one);
    write.baseChanged ||= step.headChanged || step.stateTold;
    write.freed.push(...step.freed);
    write.actions.push(...step.actions);
    if (!step.stateTold) continue;
    tellChildren(step);
    tell({ kind: "state", state: step.head.state, reason: step.head.stateReason }, step.at);
  }
  tellChildren(last);
  write.children = [...changes.values()];
  write.made = [...made.values()];
  write.ended = [...ended.values()];
  if (touched) {
    write.version = fromVersion + 1;
    write.head = { ...last.head, counts: last.counts, eventSeq };
  }
  return write;
}

/** One statement sees each row once: what is made and ended in one write is made as it ends. */
function endSandbox(made: Map<string, NewSandbox>, ended: Map<string, SandboxEnd>, end: SandboxEnd): void {
  const { sandboxId, to } = end;
  const fresh = made.get(sandboxId);
  const reason = end.reason ?? fresh?.reason ?? ended.get(sandboxId)?.reason ?? null;
  if (fresh !== undefined) made.set(sandboxId, { ...fresh, state: to, reason });
  else ended.set(sandboxId, { sandboxId, to, reason });
}

/** Starts under way, and those never planned, are told by the counts alone. */
function childrenEvents(changes: ReadonlyMap<number, ChildChange>, counts: ForkCounts): ForkEvent["event"][] {
  const told = [...changes.values()]
    .filter(({ state }) => state !== "starting")
    .map(({ index, sandboxId, state, score, outcome }) => ({ index, sandboxId, state, exitCode: outcome?.exitCode ?? null, score }));
  const events: ForkEvent["event"][] = [];
  for (let from = 0; from === 0 || from < told.length; from += LIMITS.forkBatchMax)
    events.push({ kind: "children", counts, children: told.slice(from, from + LIMITS.forkBatchMax) });
  return events;
}
