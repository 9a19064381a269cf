import type { Bucket } from "@banyan/bus";
import { NODE_HEARTBEAT_MS, NODE_LAYERS_SAID_MAX, type NodeHeartbeat } from "@banyan/contracts";
import { type Loop, startLoop } from "@banyan/service";
import type { NodeParts } from "../sandboxes/parts.ts";

export interface Identity {
  url: string;
  version: string;
  labels: Record<string, string>;
  startedAt: number;
}

export function heartbeatOf(
  { nodeId, state, capacity, registry, pool, layers, stores, clock }: NodeParts,
  identity: Identity,
): NodeHeartbeat {
  return {
    nodeId,
    ...identity,
    state,
    capacity,
    used: registry.used(),
    pool: pool.status,
    layers: layers.usedLast(NODE_LAYERS_SAID_MAX),
    activity: registry.takeActivity(),
    stores: stores.said(),
    at: clock.now(),
  };
}

/** Says every second what this node is and holds. Who hears nothing for the length of the lease counts it as gone. */
export function beat(parts: NodeParts, identity: Identity, bucket: Bucket<NodeHeartbeat>): Loop {
  let isHeard = true;
  const beat = async () => {
    try {
      await bucket.put(parts.nodeId, heartbeatOf(parts, identity));
      if (!isHeard) parts.logger.info({}, "this node is heard again");
      isHeard = true;
    } catch (err) {
      // Said once, not every second that the bus is away.
      if (isHeard) parts.logger.warn({ err }, "this node is not heard");
      isHeard = false;
    }
  };
  return startLoop({ name: "heartbeat", everyMs: NODE_HEARTBEAT_MS, clock: parts.clock, logger: parts.logger, round: beat });
}
