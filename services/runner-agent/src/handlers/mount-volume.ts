import type { Bus, Served } from "@banyan/bus";
import { NodeMount } from "@banyan/contracts";
import type { NodeParts } from "../sandboxes/parts.ts";
import { mountVolume } from "../volumes/mount.ts";
import { CONCURRENCY_MAX } from "./limits.ts";

export function serveMount(bus: Bus, parts: NodeParts): Served {
  return bus.serve(NodeMount.on(parts.nodeId), (input) => mountVolume(parts, input), { concurrencyMax: CONCURRENCY_MAX });
}
