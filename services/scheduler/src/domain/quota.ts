import type { Quota, Resources, SandboxState } from "@banyan/contracts";

/** Holding a slot, or about to, or not yet known to have let go of it. */
const ACTIVE: readonly SandboxState[] = ["starting", "running", "stopping"];

export const isActive = (state: SandboxState): boolean => ACTIVE.includes(state);

/** Whether it counts for its organisation. One that is being deleted does not: its owner has done all there is to do. */
const isCounted = (state: SandboxState): boolean => state !== "deleting" && state !== "deleted";

/** What a sandbox in this state takes of its organisation's quota. */
export function chargeOf(state: SandboxState, resources: Resources): Quota {
  if (!isCounted(state)) return { sandboxes: 0, cpu: 0, memoryMb: 0 };
  const active = isActive(state);
  return { sandboxes: 1, cpu: active ? resources.cpu : 0, memoryMb: active ? resources.memoryMb : 0 };
}

export interface Shortage {
  resource: keyof Quota;
  used: number;
  asked: number;
  limit: number;
}

/** The first thing there is too little of, or null. */
export function shortageOf(usage: Quota, asked: Quota, quota: Quota): Shortage | null {
  for (const resource of ["sandboxes", "cpu", "memoryMb"] as const) {
    if (asked[resource] > 0 && usage[resource] + asked[resource] > quota[resource] + ROUNDING) {
      return { resource, used: usage[resource], asked: asked[resource], limit: quota[resource] };
    }
  }
  return null;
}

/** Sums of fractions of cores are not exact: 0.1 + 0.2 still fits into 0.3. */
const ROUNDING = 1e-6;
