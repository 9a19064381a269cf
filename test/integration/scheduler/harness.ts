import { type Bus, connectBus } from "@banyan/bus";
import {
  CreateSandbox,
  DeleteSandbox,
  fault,
  GetSandbox,
  type InputOf,
  ListSandboxes,
  type OutputOf,
  type Quota,
  ResolveImage,
  type SandboxSpec,
  type SandboxState,
  StartSandbox,
  StopSandbox,
} from "@banyan/contracts";
import { type Clock, newId, silentLogger, systemClock } from "@banyan/kernel";
import { type Config, SCHEDULING_DEFAULTS, schedulerService } from "@banyan/scheduler";
import type { RunningService } from "@banyan/service";
import { createTelemetry } from "@banyan/telemetry";
import {
  eventually,
  type FakeNode,
  type FakeNodeOptions,
  fakeNode,
  startNats,
  startPostgres,
  type TestNats,
  type TestPostgres,
} from "@banyan/testkit";
import postgres from "postgres";
import { afterAll, beforeAll } from "vitest";
import { specOf } from "../../../services/scheduler/src/domain/sandbox.fixture.ts";

export const LARGE_QUOTA: Quota = { sandboxes: 100_000, cpu: 100_000, memoryMb: 100_000_000 };
export const WAIT_MS = 5_000;
/** A caller waits longer than the sandbox for its slot. */
const CALL_MARGIN_MS = 3_000;

export interface Cluster {
  nats: TestNats;
  postgres: TestPostgres;
  stop(): Promise<void>;
}

/** One NATS and one Postgres for a test file. */
export async function startCluster(): Promise<Cluster> {
  const [nats, pg] = await Promise.all([startNats(), startPostgres()]);
  return {
    nats,
    postgres: pg,
    async stop() {
      await nats.stop();
      await pg.stop();
    },
  };
}

/** The same, of the tests of the file that calls this; it is there from their first hook on. */
export function clusterOfFile(): Cluster {
  const cluster = {} as Cluster;
  let started: Cluster | undefined;
  beforeAll(async () => {
    started = Object.assign(cluster, await startCluster());
  });
  afterAll(() => started?.stop());
  return cluster;
}

export interface World {
  bus: Bus;
  orgId: string;
  config: Config;
  nodes: FakeNode[];
  /** How often an image was asked for. */
  imagesAsked: string[];
  sql: postgres.Sql;
  addNode(options?: Omit<FakeNodeOptions, "bus">): Promise<FakeNode>;
  startScheduler(): Promise<void>;
  stopScheduler(): Promise<void>;
  create(options?: CreateOptions): Promise<OutputOf<typeof CreateSandbox>>;
  start(id: string, options?: { deadlineMs?: number; quota?: Quota }): Promise<OutputOf<typeof StartSandbox>>;
  stopSandbox(id: string): Promise<OutputOf<typeof StopSandbox>>;
  remove(id: string): Promise<OutputOf<typeof DeleteSandbox>>;
  get(id: string): Promise<OutputOf<typeof GetSandbox>["sandbox"]>;
  list(filter?: Partial<InputOf<typeof ListSandboxes>>): Promise<OutputOf<typeof ListSandboxes>>;
  /** The state of the row as it is in the database, whatever the service says of it. */
  rowState(id: string): Promise<SandboxState | null>;
  end(): Promise<void>;
}

export interface CreateOptions {
  id?: string;
  orgId?: string;
  quota?: Quota;
  deadlineMs?: number;
  spec?: Partial<SandboxSpec>;
}

export interface WorldOptions {
  scheduling?: Partial<Config["scheduling"]>;
  clock?: Clock;
  /** No scheduler in this process: the test runs its own. */
  withoutScheduler?: boolean;
}

/** A scheduler with a schema, an organisation and nodes of its own. */
export async function startWorld(cluster: Cluster, options: WorldOptions = {}): Promise<World> {
  const bus = await connectBus({ servers: cluster.nats.url, name: "test", logger: silentLogger });
  const imagesAsked: string[] = [];
  const images = bus.serve(ResolveImage, async ({ orgId, name }) => {
    imagesAsked.push(name);
    if (name === "missing") throw fault("image.not_found", { name });
    return { image: imageOf(name, orgId) };
  });
  const telemetry = await createTelemetry({ serviceName: "test", otlpEndpoint: null });
  const schema = cluster.postgres.freshSchema();
  const config: Config = {
    natsUrl: cluster.nats.url,
    databaseUrl: cluster.postgres.url,
    databaseSchema: schema,
    scheduling: { ...SCHEDULING_DEFAULTS, reconcileEveryMs: 200, orphanGraceMs: 500, ...options.scheduling },
    logLevel: "silent",
    healthHost: "127.0.0.1",
    healthPort: 0,
    otlpEndpoint: null,
  };
  const sql = postgres(cluster.postgres.url, { max: 2, fetch_types: false, connection: { search_path: schema }, onnotice: () => {} });
  let running: RunningService | null = null;
  const world: World = {
    bus,
    orgId: newId("org"),
    config,
    nodes: [],
    imagesAsked,
    sql,
    async addNode(nodeOptions = {}) {
      const node = await fakeNode({ bus, ...nodeOptions });
      world.nodes.push(node);
      return node;
    },
    async startScheduler() {
      running = await schedulerService.start(config, {
        logger: silentLogger,
        clock: options.clock ?? systemClock,
        telemetry,
        metrics: telemetry.metricsOf("scheduler"),
      });
    },
    async stopScheduler() {
      await running?.stop();
      running = null;
    },
    create: ({ id = newId("sbx"), orgId = world.orgId, quota = LARGE_QUOTA, deadlineMs = WAIT_MS, spec } = {}) =>
      bus.call(CreateSandbox, { id, orgId, quota, deadlineMs, spec: specOf(spec) }, { deadlineMs: deadlineMs + CALL_MARGIN_MS }),
    start: (id, { deadlineMs = WAIT_MS, quota = LARGE_QUOTA } = {}) =>
      bus.call(StartSandbox, { id, orgId: world.orgId, quota, deadlineMs }),
    stopSandbox: (id) => bus.call(StopSandbox, { id, orgId: world.orgId, graceMs: 0 }),
    remove: (id) => bus.call(DeleteSandbox, { id, orgId: world.orgId }),
    get: async (id) => (await bus.call(GetSandbox, { id, orgId: world.orgId })).sandbox,
    list: (filter = {}) => bus.call(ListSandboxes, { orgId: world.orgId, labels: {}, states: [], cursor: null, limit: 100, ...filter }),
    async rowState(id) {
      const [row] = await sql<{ state: SandboxState }[]>`select state from sandboxes where id = ${id}`;
      return row?.state ?? null;
    },
    async end() {
      await world.stopScheduler();
      for (const node of world.nodes) await node.stop();
      await images.stop();
      await bus.close();
      await sql.end();
      await telemetry.stop();
    },
  };
  if (!options.withoutScheduler) await world.startScheduler();
  return world;
}

/** Placement needs the nodes' first heartbeats. */
export async function readyNodes(world: World, count: number, nodeOptions: Omit<FakeNodeOptions, "bus"> = {}): Promise<FakeNode[]> {
  const added: FakeNode[] = [];
  for (let i = 0; i < count; i++) added.push(await world.addNode(nodeOptions));
  return added;
}

function imageOf(name: string, orgId: string): OutputOf<typeof ResolveImage>["image"] {
  return {
    id: newId("img"),
    names: [`${name}:latest`],
    orgId,
    kind: "build",
    state: "ready",
    layers: [{ digest: `sha256:${"ab".repeat(32)}`, sizeBytes: 1_000 }],
    config: { env: { PATH: "/bin", FROM_IMAGE: "yes" }, workdir: "/home/agent", user: "agent", entrypoint: [], ready: null, resources: {} },
    origin: "local",
    base: null,
    history: [],
    error: null,
    createdAt: 0,
    lastUsedAt: 0,
  };
}

export interface ShiftingClock extends Clock {
  /** Moves the wall clock on: what is stored grows old. */
  age(ms: number): void;
  /** Moves the monotonic clock on: what is silent has been so for longer. */
  elapse(ms: number): void;
}

/** The real clock, which a test can move on without waiting. */
export function shiftingClock(): ShiftingClock {
  let wallMs = 0;
  let monotonicMs = 0;
  return {
    now: () => systemClock.now() + wallMs,
    monotonicMs: () => systemClock.monotonicMs() + monotonicMs,
    sleep: systemClock.sleep,
    age: (ms) => {
      wallMs += ms;
    },
    elapse: (ms) => {
      monotonicMs += ms;
    },
  };
}

/** What a call was refused with. */
export async function codeOf(call: Promise<unknown>): Promise<string> {
  return call.then(
    () => "no error",
    (error: unknown) => (error instanceof Error && "code" in error ? String(error.code) : String(error)),
  );
}

export { eventually };
