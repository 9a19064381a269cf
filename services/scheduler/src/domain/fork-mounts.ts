import { hasEnded } from "./fork.ts";
import { endFork } from "./fork-end.ts";
import type { LiveFork } from "./fork-live.ts";
import type { ForkMemory } from "./fork-memory.ts";
import type { Mounts } from "./mounts.ts";

const RETRY_BASE_MS = 200;
const RETRY_MAX_MS = 30_000;

/** Nothing of it can be sent to a node before its volumes have become orders; these are in no row, for they may hold secrets. */
export function beginResolving(memory: ForkMemory, fork: LiveFork, now: number): void {
  fork.resolving.dueAt = null;
  memory.change(fork, now, (draft) => draft.actions.push({ kind: "resolve" }));
}

export function finishResolving(fork: LiveFork, mounts: Mounts): void {
  fork.mounts ??= mounts;
}

/** `final`: they are gone. */
export function retryResolving(memory: ForkMemory, fork: LiveFork, failure: { reason: string; final: boolean }, now: number): void {
  if (fork.mounts !== null || hasEnded(fork.head.state)) return;
  const { resolving } = fork;
  resolving.tries++;
  if (failure.final) endFork(memory, fork, { as: "failed", reason: failure.reason }, now);
  else resolving.dueAt = now + Math.min(RETRY_MAX_MS, RETRY_BASE_MS * 2 ** Math.min(resolving.tries, 10));
}
