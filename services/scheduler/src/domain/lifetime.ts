import type { Lifetime, SandboxState } from "@banyan/contracts";

/** A sandbox as its clock sees it. */
export interface Lived {
  id: string;
  nodeId: string | null;
  state: SandboxState;
  lifetime: Lifetime;
  startedAt: number | null;
  lastActiveAt: number;
  expiresAt: number | null;
}

export interface Due {
  id: string;
  why: "idle" | "expired";
  action: "stop" | "delete";
  /** With `idle`: the last sign of life known here. The node refuses if it knows a later one. */
  idleSince: number | null;
}

/** What of this is idle or expired now. `reachableSince` answers null for a node that does not answer. */
export function dueOf(sandbox: Lived, now: number, reachableSince: (nodeId: string) => number | null): Due | null {
  return expiryOf(sandbox, now) ?? idlenessOf(sandbox, now, reachableSince);
}

function expiryOf({ id, state, lifetime, startedAt, expiresAt }: Lived, now: number): Due | null {
  if (expiresAt === null || expiresAt > now) return null;
  if (lifetime.onExpiry === "delete") {
    return state === "running" || state === "stopped" || state === "failed"
      ? { id, why: "expired", action: "delete", idleSince: null }
      : null;
  }
  // It happens once: whoever starts an expired sandbox again means it.
  const ranThen = state === "running" && startedAt !== null && startedAt <= expiresAt;
  return ranThen ? { id, why: "expired", action: "stop", idleSince: null } : null;
}

/** While a node cannot be reached nobody can use its sandboxes: that time is not idleness, so the clock starts again at its return. */
function idlenessOf(sandbox: Lived, now: number, reachableSince: (nodeId: string) => number | null): Due | null {
  const { id, nodeId, state, lifetime } = sandbox;
  if (lifetime.idleTimeoutS === null || state !== "running" || nodeId === null) return null;
  const since = reachableSince(nodeId);
  if (since === null) return null;
  const idleSince = Math.max(sandbox.lastActiveAt, sandbox.startedAt ?? 0);
  if (Math.max(idleSince, since) + lifetime.idleTimeoutS * 1_000 > now) return null;
  return { id, why: "idle", action: lifetime.onIdle, idleSince };
}
