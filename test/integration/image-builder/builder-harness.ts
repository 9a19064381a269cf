import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Bus, connectBus } from "@banyan/bus";
import {
  type Build,
  type BuildEvent,
  CancelBuild,
  GetBuild,
  type Image,
  ImageSpec,
  type ImageSpecInput,
  type InputOf,
  ListLayerUsers,
  ReadBuildEvents,
  RequestBuild,
  ResolveImage,
} from "@banyan/contracts";
import { type Config, imageBuilderService } from "@banyan/image-builder";
import { type Logger, newId, silentLogger, systemClock } from "@banyan/kernel";
import type { RunningService } from "@banyan/service";
import { createTelemetry, type Telemetry } from "@banyan/telemetry";
import { eventually, startNats, startPostgres, type TestNats, type TestPostgres } from "@banyan/testkit";
import postgres from "postgres";

const BUILD_MS_MAX = 150_000;

export interface Requested {
  build: Build;
  image: Image;
}

/** The image-builder on real NATS, Postgres and Docker, as its callers see it. */
export class BuilderHarness {
  readonly orgId = newId("org");
  readonly bus: Bus;
  readonly directory: string;
  readonly databaseUrl: string;
  readonly sql: postgres.Sql;
  /** What the scheduler would say of layers and images in use. */
  readonly inUse = { imageIds: new Set<string>(), digests: new Set<string>() };
  readonly #nats: TestNats;
  readonly #postgres: TestPostgres;
  readonly #telemetry: Telemetry;
  readonly #running: RunningService[] = [];

  private constructor(parts: { nats: TestNats; postgres: TestPostgres; telemetry: Telemetry; bus: Bus; databaseUrl: string }) {
    this.#nats = parts.nats;
    this.#postgres = parts.postgres;
    this.#telemetry = parts.telemetry;
    this.bus = parts.bus;
    this.databaseUrl = parts.databaseUrl;
    this.directory = mkdtempSync(join(tmpdir(), "banyan-builder-"));
    this.sql = postgres(parts.databaseUrl, { max: 1, connection: { search_path: "image_builder" } });
  }

  /** With the default image ready. */
  static async open(): Promise<BuilderHarness> {
    const [nats, postgres, telemetry] = await Promise.all([
      startNats(),
      startPostgres(),
      createTelemetry({ serviceName: "test", otlpEndpoint: null }),
    ]);
    const bus = await connectBus({ servers: nats.url, name: "test", logger: silentLogger });
    const harness = new BuilderHarness({ nats, postgres, telemetry, bus, databaseUrl: await postgres.freshDatabase() });
    bus.serve(ListLayerUsers, async ({ imageId, digests }) => {
      const isUsed = imageId !== null && harness.inUse.imageIds.has(imageId);
      const usedDigests = digests.filter((digest) => harness.inUse.digests.has(digest));
      return { sandboxIds: isUsed ? [newId("sbx")] : [], count: isUsed ? 1 : 0, usedDigests };
    });
    return harness;
  }

  config(changes: Partial<Config> = {}): Config {
    return {
      logLevel: "silent",
      healthHost: "127.0.0.1",
      healthPort: 0,
      otlpEndpoint: null,
      natsUrl: this.#nats.url,
      databaseUrl: this.databaseUrl,
      databaseSchema: "image_builder",
      dockerHost: process.env.DOCKER_HOST ?? "unix:///var/run/docker.sock",
      cacheDir: process.env.BANYAN_IMAGE_CACHE_DIR ?? join(this.directory, "images"),
      buildDir: join(this.directory, "builds"),
      registry: "off",
      pinMs: 300_000,
      secretKey: "k".repeat(32),
      secretKeyPath: join(this.directory, "secret.key"),
      housekeeping: { everyMs: 600_000, layerAgeMs: 3_600_000, contextAgeMs: 3_600_000, unusedContextAgeMs: 3_600_000 },
      builds: { atOnce: 2, perOrgAtOnce: 2, unfinishedMax: 100, memoryMb: 512, cpu: 2 },
      proxies: {},
      ...changes,
    };
  }

  async start(changes: Partial<Config> = {}, logger: Logger = silentLogger): Promise<RunningService> {
    const host = { logger, clock: systemClock, metrics: this.#telemetry.metricsOf("test"), telemetry: this.#telemetry };
    const running = await imageBuilderService.start(this.config(changes), host);
    this.#running.push(running);
    await eventually(() => this.bus.call(ResolveImage, { orgId: this.orgId, name: "default" }), { timeoutMs: BUILD_MS_MAX });
    return running;
  }

  async stop(running: RunningService): Promise<void> {
    this.#running.splice(this.#running.indexOf(running), 1);
    await running.stop();
  }

  /** The service as a process of its own, which can be killed. */
  startProcess(): { kill(): Promise<void> } {
    const main = join(import.meta.dirname, "../../../services/image-builder/src/main.ts");
    const child = spawn(process.execPath, [main], {
      stdio: "ignore",
      env: {
        ...process.env,
        NATS_URL: this.#nats.url,
        DATABASE_URL: this.databaseUrl,
        BANYAN_DATA_DIR: this.directory,
        BANYAN_HEALTH_PORT: "0",
        BANYAN_IMAGE_REGISTRY: "off",
        BANYAN_SECRET_KEY: "k".repeat(32),
      },
    });
    const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
    return {
      kill: async () => {
        child.kill("SIGKILL");
        await ended;
      },
    };
  }

  request(spec: ImageSpecInput, changes: Partial<InputOf<typeof RequestBuild>> = {}): Promise<Requested> {
    const input = { orgId: this.orgId, spec: ImageSpec.parse(spec), name: null, secrets: {}, force: false, ...changes };
    return this.bus.call(RequestBuild, input);
  }

  async build(spec: ImageSpecInput, changes: Partial<InputOf<typeof RequestBuild>> = {}): Promise<Requested> {
    const { build } = await this.request(spec, changes);
    return this.ended(build);
  }

  ended({ id, orgId }: Build): Promise<Requested> {
    return eventually(
      async () => {
        const got = await this.bus.call(GetBuild, { orgId, buildId: id });
        return got.build.endedAt !== null && got;
      },
      { timeoutMs: BUILD_MS_MAX },
    );
  }

  /** Resolves when the build says this line. */
  async says({ id, orgId }: Build, text: string): Promise<void> {
    await eventually(async () => (await this.events({ id, orgId })).some(({ event }) => event.kind === "log" && event.text === text), {
      timeoutMs: BUILD_MS_MAX,
    });
  }

  async events({ id, orgId }: Pick<Build, "id" | "orgId">): Promise<BuildEvent[]> {
    const all: BuildEvent[] = [];
    for (;;) {
      const { events } = await this.bus.call(ReadBuildEvents, { orgId, buildId: id, after: all.length, limit: 500, waitMs: 0 });
      if (events.length === 0) return all;
      all.push(...events);
    }
  }

  cancel({ id, orgId }: Build): Promise<{ build: Build }> {
    return this.bus.call(CancelBuild, { orgId, buildId: id });
  }

  async close(): Promise<void> {
    await Promise.all(this.#running.map((running) => running.stop()));
    await this.sql.end();
    await this.bus.close();
    await Promise.all([this.#nats.stop(), this.#postgres.stop(), this.#telemetry.stop()]);
    rmSync(this.directory, { recursive: true, force: true });
  }
}
