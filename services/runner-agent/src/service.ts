import { connectBus } from "@banyan/bus";
import { fault, NODE_LEASE_MS, NODES_BUCKET, NodeHeartbeat } from "@banyan/contracts";
import { defineService } from "@banyan/service";
import type { Config } from "./config.ts";
import { serveCompare } from "./handlers/compare-sandbox.ts";
import { serveDeleteMany } from "./handlers/delete-many.ts";
import { serveDelete } from "./handlers/delete-sandbox.ts";
import { serveFreeze } from "./handlers/freeze-sandbox.ts";
import { serveList } from "./handlers/list-sandboxes.ts";
import { serveMount } from "./handlers/mount-volume.ts";
import { serveRelease } from "./handlers/release-frozen.ts";
import { serveShip } from "./handlers/ship-layers.ts";
import { serveSnapshot } from "./handlers/snapshot-sandbox.ts";
import { serveStartMany } from "./handlers/start-many.ts";
import { serveStart } from "./handlers/start-sandbox.ts";
import { serveStop } from "./handlers/stop-sandbox.ts";
import { serveUnmount } from "./handlers/unmount-volume.ts";
import { createDataPlane } from "./http/server.ts";
import { storedFiles } from "./http/stored-files.ts";
import { beat, heartbeatOf } from "./loops/heartbeat.ts";
import { sayDied } from "./loops/say-died.ts";
import { sayFinished } from "./loops/say-finished.ts";
import { nodeMetrics, observe } from "./metrics.ts";
import { openNode } from "./node.ts";
import { nodeIdOf } from "./node-id.ts";

const VERSION = "0.1.0";

export const runnerAgentService = defineService<Config>({
  name: "runner-agent",
  async start(config, { logger, clock, metrics }) {
    const startedAt = clock.now();
    const bus = await connectBus({ servers: config.natsUrl, name: "runner-agent", logger, clock, blobs: config.blobs ?? null });
    const nodeId = config.node.nodeId ?? nodeIdOf(config.node.dataDir);
    const died = sayDied(bus, nodeId, { logger, clock });
    const deps = { blobs: bus.blobs, clock, logger, metrics: nodeMetrics(metrics), onDied: died.say };
    const node = await openNode({ ...config.node, nodeId }, deps).catch(async (error) => {
      await died.stop();
      await bus.close();
      throw error;
    });
    const { parts } = node;
    observe(metrics, parts);
    const finished = sayFinished(bus, nodeId, parts.outcomes, { logger, clock });
    const dataPlane = createDataPlane({
      directory: parts.registry,
      stored: storedFiles(parts),
      clusterToken: config.clusterToken,
      logger,
      clock,
    });
    const { port } = await dataPlane.listen(config.listenHost, config.listenPort);
    const labels = { ...config.labels, ...(parts.disk.driver.enforcesLimits ? {} : { "disk-limits": "off" }) };
    const identity = { url: config.url ?? `http://${config.listenHost}:${port}`, version: VERSION, labels, startedAt };
    const served = [
      serveStart(bus, parts),
      serveStop(bus, parts),
      serveDelete(bus, parts),
      serveSnapshot(bus, parts),
      serveFreeze(bus, parts),
      serveShip(bus, parts),
      serveCompare(bus, parts),
      serveRelease(bus, parts),
      serveStartMany(bus, parts),
      serveDeleteMany(bus, parts),
      serveMount(bus, parts),
      serveUnmount(bus, parts),
      serveList(bus, parts),
    ];
    const bucket = bus.kv<NodeHeartbeat>(NODES_BUCKET, { ttlMs: NODE_LEASE_MS, schema: NodeHeartbeat });
    const heartbeat = beat(parts, identity, bucket);
    logger.info({ nodeId: parts.nodeId, url: identity.url, capacity: parts.capacity }, "the node takes sandboxes");
    return {
      checks: {
        bus: async () => {
          if (!bus.connected) throw fault("bus.unavailable");
        },
        node: async () => {
          if (parts.state !== "ready") throw fault("node.unreachable", { state: parts.state });
        },
      },
      async stop() {
        parts.state = "leaving";
        parts.pool.refuseWaiters();
        await heartbeat.stop();
        // The scheduler hears of it at once instead of when the lease ends.
        await bucket
          .put(parts.nodeId, heartbeatOf(parts, identity))
          .catch((err) => logger.warn({ err }, "could not say that this node leaves"));
        await Promise.all(served.map((each) => each.stop()));
        await dataPlane.close();
        await node.stop(config.node.onStop);
        await finished.stop();
        await died.stop();
        await bus.close();
      },
    };
  },
});
