import type { Bus, Served } from "@banyan/bus";
import { NodeCompare } from "@banyan/contracts";
import { compareSandbox } from "../sandboxes/compare.ts";
import type { NodeParts } from "../sandboxes/parts.ts";

/** Each walks a disk, in a process of its own. */
const CONCURRENCY_MAX = 16;

export function serveCompare(bus: Bus, parts: NodeParts): Served {
  return bus.serve(NodeCompare.on(parts.nodeId), (input, { signal }) => compareSandbox(parts, input, signal), {
    concurrencyMax: CONCURRENCY_MAX,
  });
}
