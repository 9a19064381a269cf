import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { type Bus, connectBus } from "@banyan/bus";
import { ListNodes, ResolveImage } from "@banyan/contracts";
import { newId, silentLogger } from "@banyan/kernel";
import { eventually, startNats, startPostgres, type TestNats } from "@banyan/testkit";
import { listOf, openStubJournal } from "./stub-journal.ts";
import type { StubMessage } from "./stub-nodes.ts";

const SCHEDULER_MAIN = resolve(import.meta.dirname, "../../../services/scheduler/src/main.ts");
const STUB_MAIN = join(import.meta.dirname, "stub-nodes.ts");
const SCHEMA = "scheduler";
const NODES_KNOWN_TIMEOUT_MS = 60_000;
const REPORT_TIMEOUT_MS = 10_000;
/** A node that does not come back is given up well within the bench's patience. */
const NODE_LOST_AFTER_MS = 15_000;

/** Some stub nodes, together in a process of their own. */
export interface StubProcess {
  readonly nodeIds: string[];
  kill(): Promise<void>;
  /** Again, with what it held. */
  restart(): Promise<void>;
  readonly running: boolean;
  /** Of one that was killed and has not come back: what it had written down. */
  report(): Promise<Extract<StubMessage, { kind: "report" }>>;
}

export interface StubCluster {
  readonly bus: Bus;
  readonly nats: TestNats;
  readonly databaseUrl: string;
  readonly schema: string;
  readonly processes: StubProcess[];
  /** Starts that nodes have written down so far. */
  readonly started: number;
  readonly schedulerPid: number;
  killScheduler(): Promise<void>;
  startScheduler(): Promise<void>;
  stop(): Promise<void>;
}

export interface StubClusterOptions {
  /** Nodes of each process. */
  layout: readonly number[];
  sandboxesEach: number;
}

/** The scheduler as it is run, a broker and a database on disk, and stub nodes, each in processes of their own. */
export async function startStubCluster({ layout, sandboxesEach }: StubClusterOptions): Promise<StubCluster> {
  const dataDir = await mkdtemp(join(tmpdir(), "banyan-schedule-"));
  const log = createWriteStream(join(dataDir, "processes.log"));
  const closing: (() => Promise<void>)[] = [() => rm(dataDir, { recursive: true, force: true })];
  const stop = async (): Promise<void> => {
    for (const close of closing.splice(0).reverse()) await close();
  };
  try {
    const nats = await startNats();
    closing.push(() => nats.stop());
    const postgres = await startPostgres({ durable: true });
    closing.push(() => postgres.stop());
    const bus = await connectBus({ servers: nats.url, name: "bench", logger: silentLogger });
    closing.push(() => bus.close());
    bus.serve(ResolveImage, async ({ orgId, name }) => ({ image: imageOf(orgId, name) }));

    let started = 0;
    const run = (file: string, args: string[], env: NodeJS.ProcessEnv = {}): ChildProcess => {
      const child = spawn(process.execPath, [file, ...args], {
        env: { ...process.env, ...env },
        stdio: ["ignore", "pipe", "pipe", "ipc"],
      });
      child.stdout?.pipe(log, { end: false });
      child.stderr?.pipe(log, { end: false });
      return child;
    };

    const processes: StubProcess[] = [];
    for (const [i, count] of layout.entries()) {
      const first = layout.slice(0, i).reduce((sum, one) => sum + one, 0);
      const journal = join(dataDir, `stub-${i}.journal`);
      const start = () => run(STUB_MAIN, [nats.url, journal, String(first), String(count), String(sandboxesEach)]);
      const one = await stubProcess({ start, journal, first, count }, (more) => {
        started += more;
      });
      closing.push(() => one.kill());
      processes.push(one);
    }

    let scheduler: ChildProcess | null = null;
    const killScheduler = async (): Promise<void> => {
      if (scheduler !== null) await kill(scheduler);
      scheduler = null;
    };
    const startScheduler = async (): Promise<void> => {
      const env = {
        NATS_URL: nats.url,
        DATABASE_URL: postgres.url,
        BANYAN_SCHEDULER_SCHEMA: SCHEMA,
        BANYAN_HEALTH_PORT: "0",
        BANYAN_LOG_LEVEL: "info",
        BANYAN_NODE_LOST_AFTER_MS: String(NODE_LOST_AFTER_MS),
      };
      scheduler = run(SCHEDULER_MAIN, [], env);
      await saysReady(scheduler);
    };
    closing.push(killScheduler);
    await startScheduler();
    const total = layout.reduce((sum, one) => sum + one, 0);
    await eventually(async () => (await bus.call(ListNodes, {})).nodes.filter(({ reachable }) => reachable).length === total, {
      timeoutMs: NODES_KNOWN_TIMEOUT_MS,
      intervalMs: 100,
    });
    return {
      bus,
      nats,
      databaseUrl: postgres.url,
      schema: SCHEMA,
      processes,
      get started() {
        return started;
      },
      get schedulerPid() {
        return scheduler?.pid ?? 0;
      },
      killScheduler,
      startScheduler,
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

interface StubLaunch {
  start(): ChildProcess;
  journal: string;
  first: number;
  count: number;
}

async function stubProcess({ start, journal, first, count }: StubLaunch, onStarted: (count: number) => void): Promise<StubProcess> {
  let child: ChildProcess | null = null;
  const launch = async (): Promise<void> => {
    const launched = start();
    child = launched;
    const ready = Promise.withResolvers<void>();
    launched.once("exit", (code) => ready.reject(new Error(`a process of stub nodes ended with ${code}`)));
    launched.on("message", (message: StubMessage) => {
      if (message.kind === "ready") ready.resolve();
      if (message.kind === "started") onStarted(message.count);
    });
    await ready.promise;
  };
  await launch();
  return {
    nodeIds: Array.from({ length: count }, (_, i) => `stub-${first + i}`),
    async kill() {
      if (child !== null) await kill(child);
      child = null;
    },
    restart: launch,
    get running() {
      return child !== null;
    },
    async report() {
      const asked = child;
      if (asked === null) return { kind: "report", held: listOf(openStubJournal(journal)), repeated: 0 };
      const answer = Promise.withResolvers<Extract<StubMessage, { kind: "report" }>>();
      const listen = (message: StubMessage): void => {
        if (message.kind === "report") answer.resolve(message);
      };
      asked.on("message", listen);
      const timer = setTimeout(() => answer.reject(new Error("a process of stub nodes does not report")), REPORT_TIMEOUT_MS);
      asked.send("report");
      try {
        return await answer.promise;
      } finally {
        clearTimeout(timer);
        asked.off("message", listen);
      }
    },
  };
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill("SIGKILL");
  await once(child, "exit");
}

async function saysReady(child: ChildProcess): Promise<void> {
  const ready = Promise.withResolvers<void>();
  let said = "";
  const listen = (chunk: Buffer): void => {
    said += chunk.toString();
    if (said.includes('"msg":"ready"')) ready.resolve();
  };
  child.stdout?.on("data", listen);
  child.once("exit", (code) => ready.reject(new Error(`the scheduler ended with ${code}: ${said.slice(-2_000)}`)));
  await ready.promise;
  child.stdout?.off("data", listen);
}

/** An image that is ready: nobody unpacks it here. */
function imageOf(orgId: string, name: string) {
  return {
    id: newId("img"),
    names: [`${name}:latest`],
    orgId,
    kind: "build" as const,
    state: "ready" as const,
    layers: [{ digest: `sha256:${"ab".repeat(32)}`, sizeBytes: 100_000_000 }],
    config: { env: { PATH: "/usr/bin:/bin" }, workdir: "/home/agent", user: "agent", entrypoint: [], ready: null, resources: {} },
    origin: "local" as const,
    base: null,
    history: [],
    error: null,
    createdAt: 0,
    lastUsedAt: 0,
  };
}
