import type { Bus, Served } from "@banyan/bus";
import { NodeStart } from "@banyan/contracts";
import type { NodeParts } from "../sandboxes/parts.ts";
import { startSandbox } from "../sandboxes/start.ts";
import { CONCURRENCY_MAX } from "./limits.ts";

export function serveStart(bus: Bus, parts: NodeParts): Served {
  return bus.serve(NodeStart.on(parts.nodeId), (input) => startSandbox(parts, input), { concurrencyMax: CONCURRENCY_MAX });
}
