import type { ForkBase } from "@banyan/contracts";
import type { Freeze } from "./fork.ts";
import { endFork } from "./fork-end.ts";
import type { LiveFork } from "./fork-live.ts";
import type { ForkMemory } from "./fork-memory.ts";

const PREPARES_MAX = 10;
const RETRY_BASE_MS = 200;
const RETRY_MAX_MS = 30_000;
const NOTHING_FROZEN: Freeze = { way: "none", pausedMs: 0, skipped: [] };

/** Has the source frozen, where the base is not known yet. */
export function beginPreparing(memory: ForkMemory, fork: LiveFork, now: number): void {
  fork.preparing.dueAt = null;
  const { base } = fork.head;
  if (base !== null) finishPreparing(memory, fork, { base, freeze: fork.head.freeze ?? NOTHING_FROZEN }, now);
  else memory.change(fork, now, (draft) => draft.actions.push({ kind: "prepare" }));
}

/** The source is frozen, or needs no freezing. */
export function finishPreparing(memory: ForkMemory, fork: LiveFork, made: { base: ForkBase; freeze: Freeze }, now: number): void {
  if (fork.head.state !== "preparing") return;
  memory.change(fork, now, (draft) => {
    fork.setBase(made.base);
    Object.assign(fork.head, { freeze: made.freeze, state: "running", stateReason: null, startedAt: now });
    draft.stateTold = true;
  });
}

/** It was not frozen. `final`: it can never be. */
export function retryPreparing(memory: ForkMemory, fork: LiveFork, failure: { reason: string; final: boolean }, now: number): void {
  if (fork.head.state !== "preparing") return;
  fork.preparing.tries++;
  if (failure.final || fork.preparing.tries >= PREPARES_MAX) endFork(memory, fork, { as: "failed", reason: failure.reason }, now);
  else fork.preparing.dueAt = now + retryAfterMs(fork.preparing.tries);
}

/** Has the stack put where other nodes can fetch it, unless that is under way or was tried just now. */
export function beginShipping(memory: ForkMemory, fork: LiveFork, now: number): void {
  const { base } = fork.head;
  const { shipping } = fork;
  if (base === null || base.nodeId === null || shipping.underWay || (shipping.dueAt !== null && shipping.dueAt > now)) return;
  const { nodeId, layers } = base;
  shipping.underWay = true;
  memory.change(fork, now, (draft) => draft.actions.push({ kind: "ship", nodeId, layers }));
}

/** Other nodes can fetch the stack. */
export function finishShipping(
  memory: ForkMemory,
  fork: LiveFork,
  { layers, skipped }: { layers: ForkBase["layers"]; skipped: readonly string[] },
  now: number,
): void {
  const { base } = fork.head;
  if (!base) return;
  fork.shipping.underWay = false;
  if (base.shipped !== null) return;
  memory.change(fork, now, (draft) => {
    fork.setBase({ ...base, shipped: layers });
    if (fork.head.freeze !== null) fork.head.freeze = { ...fork.head.freeze, skipped: skipped.slice(0, 100) };
    draft.headChanged = true;
  });
}

export function retryShipping(fork: LiveFork, now: number): void {
  fork.shipping = { tries: fork.shipping.tries + 1, dueAt: now + retryAfterMs(fork.shipping.tries + 1), underWay: false };
}

const retryAfterMs = (tries: number): number => Math.min(RETRY_MAX_MS, RETRY_BASE_MS * 2 ** tries);
