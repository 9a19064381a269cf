import type { Bus, Served } from "@banyan/bus";
import { NodeStop } from "@banyan/contracts";
import type { NodeParts } from "../sandboxes/parts.ts";
import { stopSandbox } from "../sandboxes/stop.ts";
import { CONCURRENCY_MAX } from "./limits.ts";

export function serveStop(bus: Bus, parts: NodeParts): Served {
  return bus.serve(NodeStop.on(parts.nodeId), (input) => stopSandbox(parts, input), { concurrencyMax: CONCURRENCY_MAX });
}
