import type { Bus, Served } from "@banyan/bus";
import { NodeDeleteMany } from "@banyan/contracts";
import { deleteMany } from "../sandboxes/delete-many.ts";
import type { NodeParts } from "../sandboxes/parts.ts";

/** Messages, each of up to 500 sandboxes. */
const CONCURRENCY_MAX = 64;

export function serveDeleteMany(bus: Bus, parts: NodeParts): Served {
  return bus.serve(NodeDeleteMany.on(parts.nodeId), (input) => deleteMany(parts, input), { concurrencyMax: CONCURRENCY_MAX });
}
