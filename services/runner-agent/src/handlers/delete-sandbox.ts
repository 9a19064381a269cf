import type { Bus, Served } from "@banyan/bus";
import { NodeDelete } from "@banyan/contracts";
import { deleteSandbox } from "../sandboxes/delete.ts";
import type { NodeParts } from "../sandboxes/parts.ts";
import { CONCURRENCY_MAX } from "./limits.ts";

export function serveDelete(bus: Bus, parts: NodeParts): Served {
  return bus.serve(NodeDelete.on(parts.nodeId), (input) => deleteSandbox(parts, input), { concurrencyMax: CONCURRENCY_MAX });
}
