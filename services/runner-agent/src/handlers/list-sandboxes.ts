import type { Bus, Served } from "@banyan/bus";
import { NodeListSandboxes } from "@banyan/contracts";
import type { NodeParts } from "../sandboxes/parts.ts";
import { CONCURRENCY_MAX } from "./limits.ts";

export function serveList(bus: Bus, parts: NodeParts): Served {
  return bus.serve(NodeListSandboxes.on(parts.nodeId), async ({ cursor }) => parts.registry.list(cursor), {
    concurrencyMax: CONCURRENCY_MAX,
  });
}
