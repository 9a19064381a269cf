import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { type Bus, connectBus } from "@banyan/bus";
import { api, layerBlob, NODE_LEASE_MS, NODES_BUCKET, NodeHeartbeat, NodeStart, type StartOrder } from "@banyan/contracts";
import { silentLogger } from "@banyan/kernel";
import { eventually, startNats, type TestNats } from "@banyan/testkit";
import { freeSubnet } from "./free-subnet.ts";
import { testRootfs } from "./rootfs.ts";
import { startOrderOn } from "./start-order.ts";

const MAIN = fileURLToPath(new URL("../../../services/runner-agent/src/main.ts", import.meta.url));
const TOKEN = "a token of this test's cluster";

/** The runner-agent as a process of its own, as it runs in production, with a bus beside it. */
export class AgentProcess {
  readonly nodeId: string;
  readonly dataDir = mkdtempSync("/var/tmp/bny-");
  readonly nats: TestNats;
  readonly bus: Bus;
  readonly #environment: Record<string, string>;
  readonly #subnet = freeSubnet();
  #child: ChildProcess | null = null;

  static async start(environment: Record<string, string> = {}): Promise<AgentProcess> {
    const nats = await startNats();
    const bus = await connectBus({ servers: nats.url, name: "test", logger: silentLogger });
    const rootfs = await testRootfs();
    const blob = await rootfs.source.get(layerBlob(rootfs.layer.digest));
    if (blob === null) throw new Error("the test's root filesystem is missing");
    await bus.blobs.put(layerBlob(rootfs.layer.digest), blob);
    const agent = new AgentProcess(nats, bus, environment);
    await agent.run();
    return agent;
  }

  private constructor(nats: TestNats, bus: Bus, environment: Record<string, string>) {
    this.nats = nats;
    this.bus = bus;
    this.nodeId = `test-${process.pid}-${Math.floor(performance.now())}`;
    this.#environment = environment;
  }

  /** Starts the process and waits for its heartbeat. */
  async run(): Promise<NodeHeartbeat> {
    const beganAt = Date.now();
    const child = spawn(process.execPath, [MAIN], {
      stdio: ["ignore", "inherit", "inherit"],
      env: {
        ...process.env,
        NATS_URL: this.nats.url,
        BANYAN_CLUSTER_TOKEN: TOKEN,
        BANYAN_DATA_DIR: this.dataDir,
        BANYAN_NODE_ID: this.nodeId,
        BANYAN_NODE_SUBNET: this.#subnet,
        BANYAN_NODE_DISK_MB: "4096",
        BANYAN_POOL_SIZE: "3",
        BANYAN_HEALTH_PORT: "0",
        BANYAN_LOG_LEVEL: "error",
        ...this.#environment,
      },
    });
    this.#child = child;
    return eventually(
      async () => {
        const heartbeat = await this.heartbeat();
        if (child.exitCode !== null) throw new Error(`the agent ended with ${child.exitCode}`);
        if (heartbeat === null || heartbeat.startedAt < beganAt || heartbeat.state !== "ready") throw new Error("the agent is not ready");
        return heartbeat;
      },
      { timeoutMs: 40_000, intervalMs: 50 },
    );
  }

  heartbeat(): Promise<NodeHeartbeat | null> {
    return this.bus.kv<NodeHeartbeat>(NODES_BUCKET, { ttlMs: NODE_LEASE_MS, schema: NodeHeartbeat }).get(this.nodeId);
  }

  async signal(signal: "SIGKILL" | "SIGTERM"): Promise<void> {
    const child = this.#child;
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, "exit");
    child.kill(signal);
    await ended;
  }

  /** Starts a sandbox of the test's root filesystem, and expects it to have started. */
  async startSandbox(changes: Partial<StartOrder> = {}): Promise<StartOrder> {
    const order = startOrderOn((await testRootfs()).layer, changes);
    const answer = await this.bus.call(NodeStart.on(this.nodeId), order);
    if (answer.kind !== "started") throw new Error(`refused: ${answer.reason}`);
    return order;
  }

  /** A shell command by way of the data plane, as the gateway sends it. */
  async sh(order: StartOrder, shell: string): Promise<{ status: number; stdout: string }> {
    const heartbeat = await this.heartbeat();
    const response = await fetch(`${heartbeat?.url}/sandboxes/${order.sandboxId}/exec`, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        [api.FORWARD_HEADERS.authorization]: `Bearer ${TOKEN}`,
        [api.FORWARD_HEADERS.orgId]: order.orgId,
        [api.FORWARD_HEADERS.epoch]: String(order.epoch),
      },
      body: JSON.stringify({ shell }),
    });
    const body = (await response.json()) as { stdout?: string };
    return { status: response.status, stdout: body.stdout ?? "" };
  }

  /** A last run that purges, so that nothing of the test stays. */
  async end(): Promise<void> {
    await this.signal("SIGKILL");
    this.#environment.BANYAN_NODE_ON_STOP = "purge";
    await this.run();
    await this.signal("SIGTERM");
    await this.bus.close();
    await this.nats.stop();
    rmSync(this.dataDir, { recursive: true, force: true });
  }
}
