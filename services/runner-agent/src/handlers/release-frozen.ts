import type { Bus, Served } from "@banyan/bus";
import { NodeRelease } from "@banyan/contracts";
import type { NodeParts } from "../sandboxes/parts.ts";
import { releaseFrozen } from "../sandboxes/release.ts";
import { CONCURRENCY_MAX } from "./limits.ts";

export function serveRelease(bus: Bus, parts: NodeParts): Served {
  return bus.serve(NodeRelease.on(parts.nodeId), (input) => releaseFrozen(parts, input), { concurrencyMax: CONCURRENCY_MAX });
}
