import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { zstdCompressSync } from "node:zlib";
import { type Bus, connectBus } from "@banyan/bus";
import { ListImages, layerBlob, ResolveImage } from "@banyan/contracts";
import { buildFromPackages, type Config, defaultRecipe, imageBuilderService, LayerCache, recipeKey } from "@banyan/image-builder";
import { newId, silentLogger, systemClock } from "@banyan/kernel";
import type { RunningService } from "@banyan/service";
import { createTelemetry, type Telemetry } from "@banyan/telemetry";
import { eventually, startNats, startPostgres, type TestNats, type TestPostgres } from "@banyan/testkit";
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from "vitest";

const orgId = newId("org");
let nats: TestNats;
let postgres: TestPostgres;
let telemetry: Telemetry;
let bus: Bus;
let cacheDir: string;
let running: RunningService | null = null;

beforeAll(async () => {
  [nats, postgres, telemetry] = await Promise.all([
    startNats(),
    startPostgres(),
    createTelemetry({ serviceName: "test", otlpEndpoint: null }),
  ]);
});
afterAll(async () => {
  await Promise.all([nats.stop(), postgres.stop(), telemetry.stop()]);
});
beforeEach(async () => {
  bus = await connectBus({ servers: nats.url, name: "test", logger: silentLogger });
  cacheDir = mkdtempSync(join(tmpdir(), "banyan-images-"));
});
afterEach(async () => {
  await running?.stop();
  running = null;
  await bus.close();
  rmSync(cacheDir, { recursive: true });
});

const configFor = (databaseUrl: string): Config => ({
  logLevel: "silent",
  healthHost: "127.0.0.1",
  healthPort: 0,
  otlpEndpoint: null,
  natsUrl: nats.url,
  databaseUrl,
  databaseSchema: "image_builder",
  dockerHost: "unix:///nonexistent/docker.sock",
  cacheDir,
  buildDir: join(cacheDir, "builds"),
  registry: "off",
  pinMs: 300_000,
  secretKey: "k".repeat(32),
  secretKeyPath: join(cacheDir, "secret.key"),
  builds: { atOnce: 2, perOrgAtOnce: 2, unfinishedMax: 100, memoryMb: 512, cpu: 2 },
  housekeeping: { everyMs: 600_000, layerAgeMs: 3_600_000, contextAgeMs: 3_600_000, unusedContextAgeMs: 3_600_000 },
  proxies: {},
});

async function start(databaseUrl: string): Promise<void> {
  running = await imageBuilderService.start(configFor(databaseUrl), {
    logger: silentLogger,
    clock: systemClock,
    metrics: telemetry.metricsOf("test"),
    telemetry,
  });
}

/** A finished layer in the cache, so that no packages are fetched. */
async function cacheLayer(content: string): Promise<string> {
  const cached = await new LayerCache(cacheDir).add(recipeKey(defaultRecipe, process.arch), async (path) => {
    writeFileSync(path, zstdCompressSync(Buffer.from(content)));
    return { digest: `sha256:${content.repeat(64).slice(0, 64)}`, sizeBytes: content.length, origin: "local" };
  });
  return cached.digest;
}

const resolve = (name = "default") => bus.call(ResolveImage, { orgId, name });

it("makes the default image ready, and keeps its layer where nodes fetch it", async () => {
  const digest = await cacheLayer("a");
  await start(await postgres.freshDatabase());
  const { image } = await eventually(() => resolve());
  expect(image).toMatchObject({
    names: ["default:latest"],
    kind: "recipe",
    state: "ready",
    orgId: null,
    origin: "local",
    layers: [{ digest }],
    config: { workdir: "/workspace" },
  });
  expect(await bus.blobs.has(layerBlob(digest))).toBe(true);
  expect((await resolve(image.id)).image.id).toBe(image.id);
  expect((await bus.call(ListImages, { orgId, cursor: null, limit: 10 })).images.map(({ id }) => id)).toEqual([image.id]);
});

it("says that there is no image of an unknown name", async () => {
  await start(await postgres.freshDatabase());
  await expect(eventually(() => resolve("nope"), { timeoutMs: 100 })).rejects.toThrow(/no image of this name/);
});

it("says when to ask again while the image is in the making, and finishes it after a restart", async () => {
  const databaseUrl = await postgres.freshDatabase();
  await start(databaseUrl);
  const error = await eventually(async () => {
    const answer = await resolve().catch((thrown) => thrown);
    expect(answer.code).toBe("image.not_ready");
    return answer;
  });
  expect(error.details.retryAfterMs).toBeGreaterThan(0);
  await running?.stop();
  running = null;
  const digest = await cacheLayer("b");
  await start(databaseUrl);
  const { image } = await eventually(() => resolve());
  expect(image.layers[0]?.digest).toBe(digest);
});

it("puts the layer back when the blob store has lost it", async () => {
  const digest = await cacheLayer("c");
  await start(await postgres.freshDatabase());
  await eventually(() => resolve());
  await bus.blobs.delete(layerBlob(digest));
  await eventually(async () => (await bus.blobs.has(layerBlob(digest))) && (await resolve()), { timeoutMs: 20_000 });
});

it("serves a new database from the cache", async () => {
  await cacheLayer("d");
  await start(await postgres.freshDatabase());
  const first = await eventually(() => resolve());
  await running?.stop();
  await start(await postgres.freshDatabase());
  const second = await eventually(() => resolve());
  expect(second.image.id).not.toBe(first.image.id);
  expect(second.image.layers).toEqual(first.image.layers);
});

it("fails with its reason, and is tried again until it succeeds", async () => {
  rmSync(cacheDir, { recursive: true });
  mkdirSync(cacheDir);
  await start(await postgres.freshDatabase());
  rmSync(cacheDir, { recursive: true });
  writeFileSync(cacheDir, "in the way");
  const failure = await eventually(async () => {
    const answer = await resolve().catch((thrown) => thrown);
    expect(answer.code).toBe("image.build_failed");
    return answer;
  });
  expect(failure.details.reason).toContain("ENOTDIR");
  expect(failure.details.retryAfterMs).toBeGreaterThan(0);
  rmSync(cacheDir);
  const digest = await cacheLayer("e");
  const { image } = await eventually(() => resolve(), { timeoutMs: 30_000 });
  expect(image).toMatchObject({ state: "ready", error: null, layers: [{ digest }] });
});

it("says what packages cannot be had", async () => {
  const recipe = { ...defaultRecipe, packages: ["no-such-package"] };
  const building = buildFromPackages(recipe, join(cacheDir, "layer"), { logger: silentLogger, signal: new AbortController().signal });
  await expect(building).rejects.toMatchObject({
    code: "image.build_failed",
    details: { step: "packages", output: expect.stringContaining("E: ") },
  });
});

it("does not take a cache entry for whole that was never finished", async () => {
  const cache = new LayerCache(cacheDir);
  await expect(cache.add("key", () => Promise.reject(new Error("power cut")))).rejects.toThrow("power cut");
  mkdirSync(join(cacheDir, "key"));
  expect(cache.find("key")).toBeNull();
});
