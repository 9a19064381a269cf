import type { Bus, Served } from "@banyan/bus";
import { NodeSnapshot } from "@banyan/contracts";
import type { NodeParts } from "../sandboxes/parts.ts";
import { snapshotSandbox } from "../sandboxes/snapshot.ts";

/** Under way or waiting for their turn. */
const CONCURRENCY_MAX = 64;

export function serveSnapshot(bus: Bus, parts: NodeParts): Served {
  return bus.serve(NodeSnapshot.on(parts.nodeId), (input, { signal }) => snapshotSandbox(parts, input, signal), {
    concurrencyMax: CONCURRENCY_MAX,
  });
}
