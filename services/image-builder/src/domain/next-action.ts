import type { ImageEvent, ImageState } from "@banyan/contracts";

export interface ImageFacts {
  state: ImageState;
  attempts: number;
  /** When an unfinished or failed state is due to be looked at again, Unix ms. */
  deadlineAt: number;
}

export interface Seen {
  now: number;
  /** The first look of this process: whatever an earlier one was doing has ended with it. */
  first: boolean;
  /** Whether the blob store holds every layer of the image. Asked only of a ready one. */
  layersStored: boolean;
}

/** `build`: its job may be lost, say it again. `move`: a transition, and its job. */
export type Action = { kind: "none" } | { kind: "insert" } | { kind: "build" } | { kind: "move"; event: ImageEvent };

export const BUILD_ATTEMPTS_MAX = 8;
const RETRY_BASE_MS = 5_000;
const RETRY_MAX_MS = 300_000;

/** The wanted state is `ready`; this is the next step towards it. */
export function nextAction(image: ImageFacts | null, seen: Seen): Action {
  if (image === null) return { kind: "insert" };
  const due = seen.first || seen.now >= image.deadlineAt;
  switch (image.state) {
    case "building":
      return due ? { kind: "build" } : { kind: "none" };
    case "failed":
      return due && (seen.first || image.attempts < BUILD_ATTEMPTS_MAX) ? { kind: "move", event: "retry" } : { kind: "none" };
    case "ready":
      return seen.layersStored ? { kind: "none" } : { kind: "move", event: "lost" };
  }
}

/** How long to wait after the `attempts`-th failure. Null: no further try before the next start of the service. */
export function retryDelayMs(attempts: number): number | null {
  return attempts >= BUILD_ATTEMPTS_MAX ? null : Math.min(RETRY_MAX_MS, RETRY_BASE_MS * 2 ** (attempts - 1));
}
