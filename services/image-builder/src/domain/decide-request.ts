import type { BuildState, ImageState } from "@banyan/contracts";

/** A spec that failed is not built again at once: the answer would be the same, and a client that asks in a circle would keep the builder busy. */
export const FAILURE_STAYS_MS = 30_000;

export type RequestDecision = "ready" | "join" | "failed" | "build";

/** What a request for an image comes to, given the image of its key and the last build of it. */
export function decideRequest(
  image: ImageState,
  last: { state: BuildState; endedAt: number | null } | null,
  { force, now }: { force: boolean; now: number },
): RequestDecision {
  if (last === null) return "build";
  if (image === "ready") return "ready";
  if (image === "building") return "join";
  const isFresh = last.state === "failed" && last.endedAt !== null && now - last.endedAt < FAILURE_STAYS_MS;
  return isFresh && !force ? "failed" : "build";
}
