import type { LiveFork } from "./fork-live.ts";

const COOL_OFF_BASE_MS = 200;
const COOL_OFF_MAX_MS = 5_000;

/** A node that refuses is left alone for a while, for longer each time. */
export function coolOff(fork: LiveFork, nodeId: string, askedMs: number, now: number): void {
  const before = fork.coolOff.get(nodeId);
  // Refusals of one answer count once.
  if (before !== undefined && before.until > now) return;
  const times = (before?.times ?? 0) + 1;
  const ms = Math.min(COOL_OFF_MAX_MS, Math.max(askedMs, COOL_OFF_BASE_MS * 2 ** (times - 1)));
  fork.coolOff.set(nodeId, { until: now + ms, times });
}
