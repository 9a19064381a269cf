import type { Bus, Served } from "@banyan/bus";
import { NodeUnmount } from "@banyan/contracts";
import type { NodeParts } from "../sandboxes/parts.ts";
import { unmountVolume } from "../volumes/unmount.ts";
import { CONCURRENCY_MAX } from "./limits.ts";

export function serveUnmount(bus: Bus, parts: NodeParts): Served {
  return bus.serve(NodeUnmount.on(parts.nodeId), (input) => unmountVolume(parts, input), { concurrencyMax: CONCURRENCY_MAX });
}
