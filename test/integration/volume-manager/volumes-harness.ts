import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Bus, connectBus } from "@banyan/bus";
import {
  CreateVersion,
  CreateVolume,
  DeleteVolume,
  GetVersion,
  GetVolume,
  type InputOf,
  ListVolumeUsers,
  type OutputOf,
  ResolveMounts,
  RestoreVolume,
  type Volume,
  type VolumeMount,
  type VolumeVersion,
} from "@banyan/contracts";
import { newId, silentLogger, systemClock } from "@banyan/kernel";
import { contentPath, OBJECTS_DEFAULTS, unmountImage, versionPath } from "@banyan/runtime";
import type { RunningService } from "@banyan/service";
import { createTelemetry, type Telemetry } from "@banyan/telemetry";
import { eventually, startNats, startPostgres, type TestNats, type TestPostgres } from "@banyan/testkit";
import { type Config, VOLUMES_DEFAULTS, type VolumesConfig, volumeManagerService } from "@banyan/volume-manager";
import postgres from "postgres";

const MAIN = join(import.meta.dirname, "../../../services/volume-manager/src/main.ts");
export const IMAGE_MB = 512;
/** Of a service that is started or a copy that runs on a busy machine. */
export const PATIENT = { timeoutMs: 60_000 };

export interface Cluster {
  nats: TestNats;
  postgres: TestPostgres;
  telemetry: Telemetry;
  stop(): Promise<void>;
}

export async function startCluster(): Promise<Cluster> {
  const [nats, pg, telemetry] = await Promise.all([
    startNats(),
    startPostgres(),
    createTelemetry({ serviceName: "test", otlpEndpoint: null }),
  ]);
  return {
    nats,
    postgres: pg,
    telemetry,
    stop: async () => void (await Promise.all([nats.stop(), pg.stop(), telemetry.stop()])),
  };
}

export interface WorldOptions {
  /** btrfs: in an image of its own. plain: a directory of this machine's filesystem. */
  disk: "btrfs" | "plain";
  volumes?: Partial<VolumesConfig>;
}

/** The volume-manager on a schema and a store of its own, as the scheduler and the gateway see it. */
export class VolumesWorld {
  readonly orgId = newId("org");
  readonly directory = mkdtempSync(join(tmpdir(), "banyan-volumes-"));
  readonly bus: Bus;
  readonly config: Config;
  readonly sql: postgres.Sql;
  /** What the scheduler says of who mounts a volume. */
  users: (input: InputOf<typeof ListVolumeUsers>) => Promise<OutputOf<typeof ListVolumeUsers>> = async () => ({
    users: [],
    forks: 0,
    total: 0,
  });
  readonly #cluster: Cluster;
  #running: RunningService | null = null;

  static async open(cluster: Cluster, options: WorldOptions): Promise<VolumesWorld> {
    const bus = await connectBus({ servers: cluster.nats.url, name: "test", logger: silentLogger });
    return new VolumesWorld(cluster, bus, options);
  }

  private constructor(cluster: Cluster, bus: Bus, { disk, volumes }: WorldOptions) {
    this.#cluster = cluster;
    this.bus = bus;
    const root = join(this.directory, "volumes");
    mkdirSync(root);
    this.config = {
      logLevel: "silent",
      healthHost: "127.0.0.1",
      healthPort: 0,
      otlpEndpoint: null,
      natsUrl: cluster.nats.url,
      databaseUrl: cluster.postgres.url,
      databaseSchema: cluster.postgres.freshSchema(),
      clusterToken: "t".repeat(32),
      listenHost: "127.0.0.1",
      listenPort: 0,
      url: null,
      dataDir: this.directory,
      directory: {
        root,
        image: disk === "btrfs" ? { path: join(this.directory, "volumes.img"), sizeMb: IMAGE_MB } : null,
        probeEveryMs: 100,
        probeTimeoutMs: 5_000,
        onStop: "keep",
      },
      objects: OBJECTS_DEFAULTS,
      secretKey: "k".repeat(32),
      secretKeyPath: join(this.directory, "secret.key"),
      volumes: { ...VOLUMES_DEFAULTS, deleteGraceMs: 0, retryMs: 100, ...volumes },
    };
    const { databaseUrl, databaseSchema } = this.config;
    this.sql = postgres(databaseUrl, { max: 1, fetch_types: false, connection: { search_path: databaseSchema }, onnotice: () => {} });
    bus.serve(ListVolumeUsers, (input) => this.users(input));
  }

  get root(): string {
    return this.config.directory.root;
  }

  async start(): Promise<RunningService> {
    const { telemetry } = this.#cluster;
    const host = { logger: silentLogger, clock: systemClock, metrics: telemetry.metricsOf("test"), telemetry };
    this.#running = await volumeManagerService.start(this.config, host);
    return this.#running;
  }

  async stop(): Promise<void> {
    await this.#running?.stop();
    this.#running = null;
  }

  /** The service as a process of its own, on a plain directory, which can be killed. */
  async startProcess(): Promise<{ pid: number; kill(): Promise<void> }> {
    const { natsUrl, databaseUrl, databaseSchema, clusterToken } = this.config;
    const child = spawn(process.execPath, [MAIN], {
      stdio: ["ignore", "pipe", "inherit"],
      env: {
        PATH: process.env.PATH ?? "",
        NATS_URL: natsUrl,
        DATABASE_URL: databaseUrl,
        BANYAN_VOLUME_MANAGER_SCHEMA: databaseSchema,
        BANYAN_CLUSTER_TOKEN: clusterToken,
        BANYAN_DATA_DIR: this.directory,
        BANYAN_VOLUME_DIR: this.root,
        BANYAN_HEALTH_PORT: "0",
        BANYAN_VOLUME_RETRY_MS: "100",
      },
    });
    await ready(child);
    return {
      pid: child.pid ?? 0,
      kill: async () => {
        child.kill("SIGKILL");
        if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
      },
    };
  }

  async create(input: Partial<InputOf<typeof CreateVolume>> = {}): Promise<Volume> {
    const given = { orgId: this.orgId, volumeId: newId("vol"), name: null, labels: {}, quotaMb: null, from: null };
    return (await this.bus.call(CreateVolume, { ...given, backend: { kind: "directory" }, ...input })).volume;
  }

  async get(volume: string): Promise<Volume> {
    return (await this.bus.call(GetVolume, { orgId: this.orgId, volume })).volume;
  }

  async snapshot(volume: string, name: string | null = null): Promise<VolumeVersion> {
    return (await this.bus.call(CreateVersion, { orgId: this.orgId, volume, versionId: newId("ver"), name })).version;
  }

  async version(volume: string, versionId: string): Promise<VolumeVersion> {
    return (await this.bus.call(GetVersion, { orgId: this.orgId, volume, versionId })).version;
  }

  async restore(volume: string, versionId: string): Promise<Volume> {
    return (await this.bus.call(RestoreVolume, { orgId: this.orgId, volume, versionId })).volume;
  }

  async remove(volume: string, force = false): Promise<string> {
    return (await this.bus.call(DeleteVolume, { orgId: this.orgId, volume, force })).state;
  }

  resolve(...mounts: Partial<VolumeMount>[]): Promise<OutputOf<typeof ResolveMounts>> {
    const given = { volume: "", version: null, path: "/data", subpath: "", mode: "rw" as const };
    return this.bus.call(ResolveMounts, { orgId: this.orgId, mounts: mounts.map((mount) => ({ ...given, ...mount })) });
  }

  ready({ id }: Pick<Volume, "id">): Promise<Volume> {
    return eventually(async () => {
      const volume = await this.get(id);
      return volume.state === "ready" && volume;
    }, PATIENT);
  }

  versionReady({ id, volumeId }: Pick<VolumeVersion, "id" | "volumeId">): Promise<VolumeVersion> {
    return eventually(async () => {
      const version = await this.version(volumeId, id);
      return version.state === "ready" && version;
    }, PATIENT);
  }

  content({ id }: Pick<Volume, "id">): string {
    return contentPath(this.root, id);
  }

  versionPath({ id, volumeId }: Pick<VolumeVersion, "id" | "volumeId">): string {
    return versionPath(this.root, volumeId, id);
  }

  async close(): Promise<void> {
    await this.stop();
    await this.sql.end();
    await this.bus.close();
    const { image, root } = this.config.directory;
    if (image !== null) await unmountImage({ image: image.path, directory: root, sizeMb: null });
    rmSync(this.directory, { recursive: true, force: true });
  }
}

async function ready(child: ChildProcess): Promise<void> {
  let said = "";
  for await (const chunk of child.stdout ?? []) {
    said += String(chunk);
    if (said.includes('"msg":"ready"')) break;
  }
  if (!said.includes('"msg":"ready"')) throw new Error(`the volume-manager did not start:\n${said}`);
  child.stdout?.resume();
}

/** What a call was refused with. */
export async function codeOf(call: Promise<unknown>): Promise<string> {
  return call.then(
    () => "no error",
    (error: unknown) => (error instanceof Error && "code" in error ? String(error.code) : String(error)),
  );
}
