import { LIMITS } from "@banyan/contracts";
import { hasEnded } from "./fork.ts";
import { SOURCE_LOST } from "./fork-errors.ts";
import type { Child, LiveFork } from "./fork-live.ts";
import type { ForkMemory } from "./fork-memory.ts";

interface Ending {
  as: "done" | "cancelled" | "failed";
  reason: string | null;
  deletesAll?: boolean;
}

/** Ends the fork where every child has come as far as it will. */
export function lookForEnd(memory: ForkMemory, fork: LiveFork, now: number): void {
  if (fork.head.state !== "running" || fork.unfinished > 0) return;
  if (fork.row.spec.policy.kind === "best") fork.head.winner = bestOf(fork);
  endFork(memory, fork, { as: "done", reason: fork.head.stateReason === SOURCE_LOST.code ? SOURCE_LOST.code : null }, now);
}

/** One success is all that was asked for. */
export function winFork(memory: ForkMemory, fork: LiveFork, winner: Child, now: number): void {
  fork.head.winner = winner.index;
  endFork(memory, fork, { as: "done", reason: null }, now);
}

/** Of a fork that is ending already, only what it leaves behind may still change; of one whose end only waits to be written, nothing. */
export function cancelFork(memory: ForkMemory, fork: LiveFork, how: { reason: string; deletesAll: boolean }, now: number): void {
  if (hasEnded(fork.head.state)) return;
  if (fork.head.state !== "ending") {
    endFork(memory, fork, { as: "cancelled", ...how }, now);
    return;
  }
  if (!how.deletesAll || fork.head.deletesAll) return;
  memory.change(fork, now, (draft) => {
    fork.head.deletesAll = true;
    draft.headChanged = true;
  });
  carryOutEnd(memory, fork, now);
}

export function endFork(memory: ForkMemory, fork: LiveFork, how: Ending, now: number): void {
  if (fork.head.state === "ending" || hasEnded(fork.head.state)) return;
  memory.change(fork, now, (draft) => {
    Object.assign(fork.head, { state: "ending", stateReason: how.reason, endsAs: how.as, deletesAll: how.deletesAll ?? false });
    draft.stateTold = true;
  });
  carryOutEnd(memory, fork, now);
}

/** Ends what has not ended and deletes what is not kept; begun anew after a restart, it does what is left of it. */
export function carryOutEnd(memory: ForkMemory, fork: LiveFork, now: number): void {
  memory.dropBatches(fork.row.id);
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
    memory.change(fork, now, (draft, outcomes) => {
      for (const child of children) {
        // In one step: what is cancelled and still stands would be nobody's after a crash.
        if (child.live) draft.end(child, "deleting", "fork_ended");
        child.live = false;
        outcomes.close(child, "cancelled", null);
      }
    });
  memory.change(fork, now, (draft) => fork.endRest(draft, "cancelled", null));
  for (const [nodeId, all] of leaving) for (const children of chunksOf(all)) leave(memory, fork, nodeId, children, now);
  lookForLast(memory, fork, now);
}

/** A delete was answered (`gone`), or not: then the rows say `deleting`, and the loops go on with it. */
export function settleDelete(memory: ForkMemory, fork: LiveFork, sandboxIds: readonly string[], gone: boolean, now: number): void {
  fork.removing--;
  memory.change(fork, now, (draft) => {
    draft.freed.push(...sandboxIds);
    if (gone) draft.ended.push(...sandboxIds.map((sandboxId) => ({ sandboxId, to: "deleted" as const, reason: null })));
  });
  if (fork.head.state === "ending") lookForLast(memory, fork, now);
}

function leave(memory: ForkMemory, fork: LiveFork, nodeId: string, children: readonly Child[], now: number): void {
  memory.change(fork, now, (draft, outcomes) => {
    for (const child of children) {
      if (child.live) draft.end(child, "deleting", "fork_ended");
      child.live = false;
    }
    outcomes.delete(
      nodeId,
      children.flatMap(({ sandboxId }) => sandboxId ?? []),
    );
  });
}

/** Ends it for good where nothing of it is under way any more. */
function lookForLast(memory: ForkMemory, fork: LiveFork, now: number): void {
  const { head, row } = fork;
  if (head.state !== "ending" || fork.removing > 0) return;
  memory.change(fork, now, (draft) => {
    Object.assign(head, { state: head.endsAs ?? "failed", endedAt: now });
    draft.stateTold = true;
    if (row.frozenId !== null && head.base?.nodeId)
      draft.actions.push({ kind: "release", nodeId: head.base.nodeId, frozenId: row.frozenId });
    draft.actions.push({ kind: "ended" });
  });
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
