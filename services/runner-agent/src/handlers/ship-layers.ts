import type { Bus, Served } from "@banyan/bus";
import { NodeShip } from "@banyan/contracts";
import type { NodeParts } from "../sandboxes/parts.ts";
import { shipLayers } from "../sandboxes/ship.ts";

/** Under way or waiting for their turn. */
const CONCURRENCY_MAX = 64;

export function serveShip(bus: Bus, parts: NodeParts): Served {
  return bus.serve(NodeShip.on(parts.nodeId), (input) => shipLayers(parts, input), { concurrencyMax: CONCURRENCY_MAX });
}
