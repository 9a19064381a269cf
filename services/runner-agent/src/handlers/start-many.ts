import type { Bus, Served } from "@banyan/bus";
import { NodeStartMany } from "@banyan/contracts";
import type { NodeParts } from "../sandboxes/parts.ts";
import { startMany } from "../sandboxes/start-many.ts";

/** Messages, each of up to 500 sandboxes. */
const CONCURRENCY_MAX = 64;

export function serveStartMany(bus: Bus, parts: NodeParts): Served {
  return bus.serve(NodeStartMany.on(parts.nodeId), (input) => startMany(parts, input), { concurrencyMax: CONCURRENCY_MAX });
}
