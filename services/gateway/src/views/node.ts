import type { api, DrainNode, NodeView, OutputOf } from "@banyan/contracts";
import { iso } from "./time.ts";

const amounts = (of: NodeView["capacity"]): api.Node["capacity"] => ({
  cpu: of.cpu,
  memory_mb: of.memoryMb,
  disk_mb: of.diskMb,
  sandboxes: of.sandboxes,
});

/** Its address is left out: no caller reaches a node but through the gateway. */
export function nodeView(node: NodeView): api.Node {
  return {
    id: node.nodeId,
    state: node.state,
    reachable: node.reachable,
    cordoned: node.cordoned,
    draining: node.draining,
    version: node.version,
    labels: node.labels,
    capacity: amounts(node.capacity),
    used: amounts(node.used),
    pool: node.pool,
    stores: node.stores,
    last_heartbeat_at: iso(node.at),
  };
}

export function drainView({ node, left, failed }: OutputOf<typeof DrainNode>): api.DrainedNode {
  return { node: nodeView(node), left, failed: failed.map(({ sandboxId, reason }) => ({ sandbox_id: sandboxId, reason })) };
}
