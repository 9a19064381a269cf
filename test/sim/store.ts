import { type ForkChildState, type ForkCounts, type ForkEvent, forkChildMachine, forkMachine, type SandboxState } from "@banyan/contracts";
import type { ChildRow, ForkRow, LoadedChild } from "../../services/scheduler/src/domain/fork.ts";
import type { ForkWrite } from "../../services/scheduler/src/domain/fork-steps.ts";
import { check } from "./invariants.ts";

export interface SandboxRow {
  id: string;
  forkId: string;
  index: number;
  nodeId: string;
  state: SandboxState;
  /** It was given up with its node, and runs again: what was planned meanwhile did not know of it. */
  recovered?: true;
}

const CHILD_EVENTS = ["send", "started", "refused", "failed", "lost", "cancel", "succeeded", "retry"] as const;
const FORK_EVENTS = ["prepared", "end", "done", "cancelled", "failed"] as const;
/** A write may hold several moves of one child: from its node's refusal to its next start, and what it came to there. */
const MOVES_MAX = 4;

/** What is written down, and nothing else: all that a crash of the scheduler leaves. Each write is checked as it comes. */
export class SimStore {
  readonly forks = new Map<string, ForkRow>();
  readonly children = new Map<string, Map<number, ChildRow>>();
  readonly sandboxes = new Map<string, SandboxRow>();
  readonly events = new Map<string, ForkEvent[]>();

  insertFork(row: ForkRow): void {
    this.forks.set(row.id, structuredClone(row));
    this.children.set(row.id, new Map());
    this.events.set(row.id, []);
  }

  unfinished(): ForkRow[] {
    return [...this.forks.values()].filter(({ state }) => !forkMachine.isFinal(state)).map((row) => structuredClone(row));
  }

  load(forkId: string): LoadedChild[] {
    return Array.from(this.#childrenOf(forkId).values(), (child) => ({
      ...child,
      sandboxState: child.sandboxId === null ? null : (this.sandboxes.get(child.sandboxId)?.state ?? null),
      sandboxReason: null,
    }));
  }

  /** One transaction. */
  apply(write: ForkWrite): void {
    const fork = this.forks.get(write.forkId);
    check(fork !== undefined, `a write to ${write.forkId}, which is not there`);
    if (write.head !== null) {
      check(fork.version === write.fromVersion, `a write to version ${write.fromVersion} of ${write.forkId}, which has ${fork.version}`);
      this.#checkFork(fork, write);
      const { eventSeq, counts, ...head } = structuredClone(write.head);
      Object.assign(fork, head, { counts, eventSeq, version: write.version });
    } else {
      check(write.children.length + write.made.length + write.ended.length + write.events.length === 0, "a write without a head has rows");
    }
    const children = this.#childrenOf(write.forkId);
    for (const { outcome, ...row } of write.children) {
      this.#checkChild(write.forkId, children.get(row.index), row);
      children.set(row.index, structuredClone(row));
    }
    for (const { sandboxId, index, nodeId, state } of write.made) {
      check(!this.sandboxes.has(sandboxId), `the row of ${sandboxId} is made twice`);
      this.sandboxes.set(sandboxId, { id: sandboxId, forkId: write.forkId, index, nodeId, state });
    }
    for (const { sandboxId, to } of write.ended) this.endSandbox(sandboxId, to);
    const events = this.events.get(write.forkId) ?? [];
    for (const event of write.events) {
      check(event.seq === events.length + 1, `event ${event.seq} of ${write.forkId} comes after ${events.length}`);
      events.push(structuredClone(event));
    }
    this.#checkCounts(fork);
  }

  /** As the scheduler moves a row: one that has gone on otherwise stays. */
  endSandbox(sandboxId: string, to: SandboxState): boolean {
    const row = this.sandboxes.get(sandboxId);
    if (row === undefined || !FOLLOWS[to]?.includes(row.state)) return false;
    row.state = to;
    return true;
  }

  countsOf(forkId: string): ForkCounts {
    const fork = this.forks.get(forkId);
    check(fork !== undefined, `${forkId} is not there`);
    const children = this.#childrenOf(forkId);
    const counts: ForkCounts = {
      total: fork.spec.count,
      waiting: 0,
      starting: 0,
      running: 0,
      succeeded: 0,
      failed: 0,
      cancelled: 0,
      lost: 0,
    };
    counts[fork.restState] += fork.spec.count - children.size;
    for (const { state } of children.values()) counts[state]++;
    return counts;
  }

  #childrenOf(forkId: string): Map<number, ChildRow> {
    const children = this.children.get(forkId);
    check(children !== undefined, `${forkId} has no children`);
    return children;
  }

  #checkCounts(fork: ForkRow): void {
    const counted = this.countsOf(fork.id);
    check(
      JSON.stringify(Object.entries(counted).toSorted()) === JSON.stringify(Object.entries(fork.counts).toSorted()),
      `${fork.id} says ${JSON.stringify(fork.counts)}, its rows ${JSON.stringify(counted)}`,
    );
  }

  #checkFork(fork: ForkRow, { head, forkId }: ForkWrite): void {
    if (head === null || head.state === fork.state) return;
    check(reaches(forkMachine, FORK_EVENTS, fork.state, head.state), `${forkId} goes from ${fork.state} to ${head.state}`);
  }

  #checkChild(forkId: string, before: ChildRow | undefined, after: ChildRow): void {
    const name = `child ${after.index} of ${forkId}`;
    const from: ForkChildState = before?.state ?? "waiting";
    const legal = from === after.state || reaches(forkChildMachine, CHILD_EVENTS, from, after.state);
    check(legal, `${name} goes from ${from} to ${after.state}`);
    if (before === undefined || from === "waiting" || after.sandboxId === null || before.sandboxId === after.sandboxId) return;
    check(after.attempts > before.attempts, `${name} has another sandbox without another attempt`);
  }
}

/** From which states a row may be moved to this one. */
const FOLLOWS: Partial<Record<SandboxState, readonly SandboxState[]>> = {
  stopped: ["running"],
  failed: ["running", "stopped"],
  deleting: ["running", "stopped", "failed"],
  deleted: ["running", "stopped", "failed", "deleting"],
};

interface Steps<S extends string, E extends string> {
  next(state: S, event: E): S | null;
}

/** Whether a few legal moves lead there. */
function reaches<S extends string, E extends string>(machine: Steps<S, E>, events: readonly E[], from: S, to: S): boolean {
  let at = new Set([from]);
  for (let move = 0; move < MOVES_MAX; move++) {
    at = new Set([...at].flatMap((state) => events.flatMap((event) => machine.next(state, event) ?? [])));
    if (at.has(to)) return true;
  }
  return false;
}
