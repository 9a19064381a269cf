import type { Bus, Served } from "@banyan/bus";
import { NodeFreeze } from "@banyan/contracts";
import { freezeSandbox } from "../sandboxes/freeze.ts";
import type { NodeParts } from "../sandboxes/parts.ts";
import { CONCURRENCY_MAX } from "./limits.ts";

export function serveFreeze(bus: Bus, parts: NodeParts): Served {
  return bus.serve(NodeFreeze.on(parts.nodeId), (input) => freezeSandbox(parts, input), { concurrencyMax: CONCURRENCY_MAX });
}
