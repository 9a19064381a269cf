import { join } from "node:path";
import { type BaseConfig, readBaseConfig, readEnvironment } from "@banyan/service";
import { z } from "zod";

const HEALTH_PORT = 7073;

export interface Config extends BaseConfig {
  natsUrl: string;
  databaseUrl: string;
  databaseSchema: string;
  dockerHost: string;
  /** Finished layers by recipe; several builders may share it. */
  cacheDir: string;
  /** Of this builder alone: what it has begun in the Docker Engine is found by it, and removed at the next start. */
  buildDir: string;
  /** `off`: no registry is asked, packages are taken from the archive at once. */
  registry: "auto" | "off";
  /** So long a registry's floating tag is taken for what it was: an unchanged build then needs no network. */
  pinMs: number;
  /** Seals passwords and secrets in the database. Null: the one that is kept in `secretKeyPath`. */
  secretKey: string | null;
  secretKeyPath: string;
  builds: BuildConfig;
  housekeeping: HousekeepingConfig;
  /** `http_proxy` and its like: steps go the way this host goes. */
  proxies: Record<string, string>;
}

/** When what nothing refers to is looked for. */
export interface HousekeepingConfig {
  everyMs: number;
  /** What was put into the store more lately may belong to a build or a snapshot that is not written down yet. */
  layerAgeMs: number;
  /** An upload that no build has copied from for so long is forgotten. */
  contextAgeMs: number;
  /** An upload that no build has copied from at all. */
  unusedContextAgeMs: number;
}

/** How much is built at once, and what one build may take. */
export interface BuildConfig {
  atOnce: number;
  perOrgAtOnce: number;
  /** Of one organisation, waiting and running. */
  unfinishedMax: number;
  memoryMb: number;
  cpu: number;
}

const Environment = z.object({
  NATS_URL: z.string(),
  DATABASE_URL: z.string(),
  DOCKER_HOST: z.url({ protocol: /^(unix|tcp)$/ }).default("unix:///var/run/docker.sock"),
  BANYAN_DATA_DIR: z.string().default("/var/lib/banyan"),
  BANYAN_IMAGE_BUILDER_SCHEMA: z.string().default("image_builder"),
  BANYAN_IMAGE_CACHE_DIR: z.string().optional(),
  BANYAN_BUILD_DIR: z.string().optional(),
  BANYAN_IMAGE_REGISTRY: z.enum(["auto", "off"]).default("auto"),
  BANYAN_BASE_PIN_S: z.coerce.number().int().min(0).max(86_400).default(300),
  BANYAN_SECRET_KEY: z.string().min(32).optional(),
  BANYAN_SWEEP_EVERY_S: z.coerce.number().int().min(1).default(600),
  BANYAN_CONTEXT_AGE_S: z.coerce
    .number()
    .int()
    .min(60)
    .default(7 * 24 * 3_600),
  BANYAN_UNUSED_CONTEXT_AGE_S: z.coerce
    .number()
    .int()
    .min(60)
    .default(24 * 3_600),
  BANYAN_STORED_LAYER_AGE_S: z.coerce.number().int().min(60).default(3_600),
  BANYAN_BUILDS_AT_ONCE: z.coerce.number().int().min(1).max(64).default(2),
  BANYAN_BUILDS_PER_ORG: z.coerce.number().int().min(1).max(64).default(2),
  BANYAN_BUILDS_WAITING_MAX: z.coerce.number().int().min(1).max(10_000).default(100),
  BANYAN_BUILD_MEMORY_MB: z.coerce.number().int().min(64).default(2_048),
  BANYAN_BUILD_CPU: z.coerce.number().min(0.1).default(2),
});

/** The only place of this service that reads the environment. */
export function readConfig(environment: NodeJS.ProcessEnv = process.env): Config {
  const read = readEnvironment(Environment, environment);
  return {
    ...readBaseConfig(environment, { healthPort: HEALTH_PORT }),
    natsUrl: read.NATS_URL,
    databaseUrl: read.DATABASE_URL,
    databaseSchema: read.BANYAN_IMAGE_BUILDER_SCHEMA,
    dockerHost: read.DOCKER_HOST,
    cacheDir: read.BANYAN_IMAGE_CACHE_DIR ?? join(read.BANYAN_DATA_DIR, "images"),
    buildDir: read.BANYAN_BUILD_DIR ?? join(read.BANYAN_DATA_DIR, "builds"),
    registry: read.BANYAN_IMAGE_REGISTRY,
    pinMs: read.BANYAN_BASE_PIN_S * 1000,
    secretKey: read.BANYAN_SECRET_KEY ?? null,
    secretKeyPath: join(read.BANYAN_DATA_DIR, "secret.key"),
    proxies: Object.fromEntries(
      ["http_proxy", "https_proxy", "no_proxy"].flatMap((name) => {
        const value = environment[name] ?? environment[name.toUpperCase()];
        return value === undefined || value === "" ? [] : [[name, value]];
      }),
    ),
    housekeeping: {
      everyMs: read.BANYAN_SWEEP_EVERY_S * 1000,
      layerAgeMs: read.BANYAN_STORED_LAYER_AGE_S * 1000,
      contextAgeMs: read.BANYAN_CONTEXT_AGE_S * 1000,
      unusedContextAgeMs: read.BANYAN_UNUSED_CONTEXT_AGE_S * 1000,
    },
    builds: {
      atOnce: read.BANYAN_BUILDS_AT_ONCE,
      perOrgAtOnce: read.BANYAN_BUILDS_PER_ORG,
      unfinishedMax: read.BANYAN_BUILDS_WAITING_MAX,
      memoryMb: read.BANYAN_BUILD_MEMORY_MB,
      cpu: read.BANYAN_BUILD_CPU,
    },
  };
}
