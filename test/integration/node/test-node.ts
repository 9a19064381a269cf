import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type InputOf, layerBlob, type NodeStop, type StartOrder } from "@banyan/contracts";
import { silentLogger, systemClock } from "@banyan/kernel";
import { type LayerBlobs, NODE_DEFAULTS, type Node, type NodeConfig, openNode, startSandbox } from "@banyan/runner-agent";
import type { ExitStatus } from "@banyan/runtime";
import { MemoryBlobs } from "@banyan/testkit";
import { freeSubnet } from "./free-subnet.ts";
import { type Rootfs, testRootfs } from "./rootfs.ts";
import { startOrderOn } from "./start-order.ts";

/** Short: sockets of slots live below it, and their paths have at most 107 bytes. */
const DATA_ROOT = "/var/tmp";
const EXEC_TIMEOUT_MS = 20_000;

const silentMetrics = { started: () => {}, refused: () => {}, repaired: () => {} };

export interface TestNode extends Node {
  config: NodeConfig;
  died: { sandboxId: string; epoch: number }[];
  order(changes?: Partial<StartOrder>): StartOrder;
  /** Runs a shell command in a sandbox that was started with this order. */
  sh(order: StartOrder, command: string): Promise<{ out: string; err: string; status: ExitStatus }>;
  /** Ends everything and removes the data directory. */
  end(): Promise<void>;
}

/** A node of its own on the real container engine: own id, data directory, bridge and subnet. */
export async function testNode(changes: Partial<NodeConfig> = {}, blobs = new MemoryBlobs()): Promise<TestNode> {
  const rootfs = await testRootfs();
  const dataDir = changes.dataDir ?? mkdtempSync(join(DATA_ROOT, "bny-"));
  const config: NodeConfig = {
    ...NODE_DEFAULTS,
    dataDir,
    dockerHost: process.env.DOCKER_HOST ?? NODE_DEFAULTS.dockerHost,
    subnet: freeSubnet(),
    diskMb: 4_096,
    pool: { target: 2, parallel: 2, perS: 50, slotsMax: 100, quietMs: 0 },
    ...changes,
  };
  const died: TestNode["died"] = [];
  const node = await openNode(config, {
    blobs: withRootfs(blobs, rootfs),
    clock: systemClock,
    logger: silentLogger,
    metrics: silentMetrics,
    onDied: ({ sandboxId, epoch }) => died.push({ sandboxId, epoch }),
  });
  await node.parts.layers.ensure([rootfs.layer]);
  return {
    ...node,
    config,
    died,
    order: (given) => startOrderOn(rootfs.layer, given),
    async sh(order, command) {
      const { init, env, workdir, user } = node.parts.registry.find(order);
      const read = { out: "", err: "" };
      const spec = { argv: ["/bin/sh", "-c", command], env, cwd: workdir, user, timeoutMs: EXEC_TIMEOUT_MS };
      const status = await init.exec(spec, {
        onStdout: (chunk) => {
          read.out += chunk.toString();
        },
        onStderr: (chunk) => {
          read.err += chunk.toString();
        },
      });
      return { ...read, status };
    },
    async end() {
      await node.stop("purge");
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
}

function withRootfs(blobs: MemoryBlobs, { layer, source }: Rootfs): LayerBlobs {
  const name = layerBlob(layer.digest);
  return {
    get: (asked) => (asked === name ? source.get(name) : blobs.get(asked)),
    has: async (asked) => asked === name || blobs.has(asked),
    put: (given, content) => blobs.put(given, content),
  };
}

/** Starts and expects to have started. */
export async function start(node: TestNode, order: StartOrder) {
  const answer = await startSandbox(node.parts, order);
  if (answer.kind !== "started") throw new Error(`refused: ${answer.reason}`);
  return answer;
}

export function stopOf(order: StartOrder, changes: Partial<InputOf<typeof NodeStop>> = {}): InputOf<typeof NodeStop> {
  return { sandboxId: order.sandboxId, epoch: order.epoch, graceMs: 0, idleSince: null, ...changes };
}
