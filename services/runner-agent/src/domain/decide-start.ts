import type { StartRefusal } from "@banyan/contracts";
import type { z } from "zod";

export interface StartFacts {
  nodeState: "joining" | "ready" | "leaving";
  /** The highest epoch that was deleted, if this sandbox was. */
  deletedEpoch: number | undefined;
  /** What the node knows of the sandbox. */
  known: { epoch: number; state: "running" | "stopped" } | undefined;
  hasDisk: boolean;
  hasRoom: boolean;
}

export type StartDecision =
  | {
      kind: "start" /** A run of an older epoch must end first. */;
      ends: boolean /** What an unacknowledged start left must go first. */;
      clears: boolean;
    }
  | { kind: "repeat" }
  | { kind: "refuse"; reason: z.infer<typeof StartRefusal> };

/** Whether a start is carried out. The scheduler decides where a sandbox runs; the node decides whether it can, and never runs two epochs at once. */
export function decideStart(order: { epoch: number; fresh: boolean }, facts: StartFacts): StartDecision {
  const { known } = facts;
  if (facts.deletedEpoch !== undefined && order.epoch <= facts.deletedEpoch) return refuse("deleted");
  if (known !== undefined && order.epoch < known.epoch) return refuse("stale_epoch");
  if (known?.state === "running" && order.epoch === known.epoch) return { kind: "repeat" };
  // An epoch that has stopped is over: its start comes late.
  if (known?.state === "stopped" && order.epoch === known.epoch) return refuse("stale_epoch");
  if (facts.nodeState !== "ready") return refuse(facts.nodeState);
  if (!order.fresh && !facts.hasDisk) return refuse("no_disk");
  if (!facts.hasRoom) return refuse("capacity");
  return { kind: "start", ends: known?.state === "running", clears: order.fresh && facts.hasDisk };
}

function refuse(reason: z.infer<typeof StartRefusal>): StartDecision {
  return { kind: "refuse", reason };
}
