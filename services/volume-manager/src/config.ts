import { join } from "node:path";
import { OBJECTS_DEFAULTS, type ObjectsConfig } from "@banyan/runtime";
import { type BaseConfig, readBaseConfig, readEnvironment } from "@banyan/service";
import { z } from "zod";

const HEALTH_PORT = 7074;
const Count = z.coerce.number().int().min(1);
const Ms = Count.max(86_400_000);

export interface Config extends BaseConfig {
  natsUrl: string;
  databaseUrl: string;
  databaseSchema: string;
  clusterToken: string;
  listenHost: string;
  /** 0: any free one. */
  listenPort: number;
  /** Where the gateway reaches the data plane. Null: where it listens. */
  url: string | null;
  dataDir: string;
  directory: DirectoryConfig;
  /** Of the backend `object`: for content without a sandbox. */
  objects: ObjectsConfig;
  /** Seals the secrets of remotes in the database. Null: the one that is kept in `secretKeyPath`. */
  secretKey: string | null;
  secretKeyPath: string;
  volumes: VolumesConfig;
}

/** Where the backend `directory` keeps volumes. */
export interface DirectoryConfig {
  root: string;
  /** Mounted at the root: a btrfs of our own. Null: the root is used as it is. */
  image: { path: string; sizeMb: number | null } | null;
  probeEveryMs: number;
  probeTimeoutMs: number;
  /** `keep`: what is mounted stays, sandboxes may run on it. `purge`: it is unmounted. */
  onStop: "keep" | "purge";
}

export interface VolumesConfig {
  /** The files of a deleted volume stay for so long: longer than any start that was under way may take. */
  deleteGraceMs: number;
  usageEveryMs: number;
  copiesAtOnce: number;
  /** A deed that failed is tried again so much later. */
  retryMs: number;
  /** How long the row of a deleted volume stays. */
  deletedKeptMs: number;
  /** How long an answer waits for what the store can do at once. */
  answerWaitMs: number;
  /** An object volume whose store has not answered for so long is `failed`: shorter than whoever creates one is ready to wait. */
  objectCreateMs: number;
  /** What serves the files of one volume ends when nobody has asked for so long. */
  serverIdleMs: number;
  expireUploadsEveryMs: number;
}

export const VOLUMES_DEFAULTS: VolumesConfig = {
  deleteGraceMs: 60_000,
  usageEveryMs: 300_000,
  copiesAtOnce: 2,
  retryMs: 5_000,
  deletedKeptMs: 24 * 3_600_000,
  answerWaitMs: 5_000,
  objectCreateMs: 40_000,
  serverIdleMs: 60_000,
  expireUploadsEveryMs: 60_000,
};

const Environment = z.object({
  NATS_URL: z.string().default("nats://127.0.0.1:4222"),
  DATABASE_URL: z.string(),
  BANYAN_CLUSTER_TOKEN: z.string().min(16),
  BANYAN_DATA_DIR: z.string().startsWith("/").default("/var/lib/banyan"),
  BANYAN_VOLUME_MANAGER_SCHEMA: z.string().default("volume_manager"),
  BANYAN_VOLUMES_LISTEN_HOST: z.string().default("127.0.0.1"),
  BANYAN_VOLUMES_LISTEN_PORT: z.coerce.number().int().min(0).max(65_535).default(0),
  BANYAN_VOLUMES_URL: z.url().optional(),
  BANYAN_VOLUME_DIR: z.string().startsWith("/").optional(),
  BANYAN_VOLUMES_DISK: z.enum(["auto", "plain"]).default("auto"),
  BANYAN_VOLUMES_IMAGE_MB: Count.optional(),
  BANYAN_VOLUMES_ON_STOP: z.enum(["keep", "purge"]).default("keep"),
  BANYAN_VOLUMES_PROBE_EVERY_MS: Ms.default(3_000),
  BANYAN_VOLUMES_PROBE_TIMEOUT_MS: Ms.default(5_000),
  BANYAN_VOLUME_DELETE_GRACE_S: z.coerce.number().int().min(0).default(60),
  BANYAN_VOLUME_USAGE_EVERY_S: Count.default(300),
  BANYAN_VOLUME_COPIES_AT_ONCE: Count.max(64).default(VOLUMES_DEFAULTS.copiesAtOnce),
  BANYAN_VOLUME_RETRY_MS: Ms.default(VOLUMES_DEFAULTS.retryMs),
  BANYAN_OBJECTS: z.enum(["auto", "on", "off"]).default(OBJECTS_DEFAULTS.mode),
  BANYAN_OBJECT_CACHE_MB: Count.default(OBJECTS_DEFAULTS.cacheMb),
  BANYAN_OBJECT_CREATE_S: Count.max(86_400).default(VOLUMES_DEFAULTS.objectCreateMs / 1_000),
  BANYAN_SECRET_KEY: z.string().min(32).optional(),
});

/** The only place of this service that reads the environment. */
export function readConfig(environment: NodeJS.ProcessEnv = process.env): Config {
  const read = readEnvironment(Environment, environment);
  const dataDir = read.BANYAN_DATA_DIR;
  const ownImage = read.BANYAN_VOLUME_DIR === undefined && read.BANYAN_VOLUMES_DISK === "auto";
  return {
    ...readBaseConfig(environment, { healthPort: HEALTH_PORT }),
    natsUrl: read.NATS_URL,
    databaseUrl: read.DATABASE_URL,
    databaseSchema: read.BANYAN_VOLUME_MANAGER_SCHEMA,
    clusterToken: read.BANYAN_CLUSTER_TOKEN,
    listenHost: read.BANYAN_VOLUMES_LISTEN_HOST,
    listenPort: read.BANYAN_VOLUMES_LISTEN_PORT,
    url: read.BANYAN_VOLUMES_URL ?? null,
    dataDir,
    directory: {
      root: read.BANYAN_VOLUME_DIR ?? join(dataDir, "volumes"),
      image: ownImage ? { path: join(dataDir, "volumes.img"), sizeMb: read.BANYAN_VOLUMES_IMAGE_MB ?? null } : null,
      probeEveryMs: read.BANYAN_VOLUMES_PROBE_EVERY_MS,
      probeTimeoutMs: read.BANYAN_VOLUMES_PROBE_TIMEOUT_MS,
      onStop: read.BANYAN_VOLUMES_ON_STOP,
    },
    objects: { mode: read.BANYAN_OBJECTS, cacheMb: read.BANYAN_OBJECT_CACHE_MB },
    secretKey: read.BANYAN_SECRET_KEY ?? null,
    secretKeyPath: join(dataDir, "secret.key"),
    volumes: {
      ...VOLUMES_DEFAULTS,
      deleteGraceMs: read.BANYAN_VOLUME_DELETE_GRACE_S * 1_000,
      usageEveryMs: read.BANYAN_VOLUME_USAGE_EVERY_S * 1_000,
      copiesAtOnce: read.BANYAN_VOLUME_COPIES_AT_ONCE,
      retryMs: read.BANYAN_VOLUME_RETRY_MS,
      objectCreateMs: read.BANYAN_OBJECT_CREATE_S * 1_000,
    },
  };
}
