import { NodeId } from "@banyan/contracts";
import { OBJECTS_DEFAULTS, type ObjectsConfig } from "@banyan/runtime";
import { type BaseConfig, readBaseConfig, readEnvironment } from "@banyan/service";
import { z } from "zod";
import type { Overcommit } from "./domain/capacity.ts";
import type { LayerBounds } from "./domain/spare-layers.ts";
import type { RefillBounds } from "./pool/refill.ts";

const HEALTH_PORT = 7075;
const Count = z.coerce.number().int().min(1);
const Factor = z.coerce.number().min(1);

/** What a node needs to be one; how others reach it is not part of it. */
export interface NodeConfig {
  /** Null: made at the first start and kept in the data directory. */
  nodeId: string | null;
  dataDir: string;
  dockerHost: string;
  slotMaker: "docker" | "oci";
  /** Of the maker `oci`: runc or what behaves like it, by name or path. */
  ociRuntime: string;
  pool: RefillBounds;
  overcommit: Overcommit;
  subnet: string;
  /** What sandboxes resolve names with. Null: the host's own resolvers. */
  resolvers: readonly string[] | null;
  disk: "auto" | "btrfs" | "plain";
  /** Of the image file, when one is made. Null: a share of what is free. */
  diskMb: number | null;
  layers: LayerBounds;
  /** Where the store of the `directory` backend is on this host. Null: `volumes` in the data directory. */
  volumeDir: string | null;
  /** The object volumes that sandboxes of this node mount. */
  objects: ObjectsConfig;
  /** `keep`: sandboxes go on running and the next process adopts them. `purge`: all that was started ends, disks stay. */
  onStop: "keep" | "purge";
}

export interface Config extends BaseConfig {
  natsUrl: string;
  clusterToken: string;
  listenHost: string;
  /** 0: any free one. */
  listenPort: number;
  /** Where the gateway reaches the data plane. Null: where it listens. */
  url: string | null;
  labels: Record<string, string>;
  node: NodeConfig;
}

export const NODE_DEFAULTS = {
  nodeId: null,
  dataDir: "/var/lib/banyan",
  dockerHost: "unix:///var/run/docker.sock",
  slotMaker: "docker",
  ociRuntime: "runc",
  pool: { target: 16, parallel: 2, perS: 8, slotsMax: 400, quietMs: 200 },
  overcommit: { cpu: 64, memory: 4, disk: 64 },
  subnet: "10.207.0.0/16",
  resolvers: null,
  disk: "auto",
  diskMb: null,
  layers: { ageS: 7 * 24 * 3_600, diskShare: 0.8 },
  volumeDir: null,
  objects: OBJECTS_DEFAULTS,
  onStop: "keep",
} as const satisfies NodeConfig;

/** What a maker bears without holding up those who are being served. */
const REFILL_PER_S = { docker: NODE_DEFAULTS.pool.perS, oci: 40 } as const;

const Labels = z.string().transform((text, context) => {
  const pairs = text.split(",").filter((pair) => pair !== "");
  const labels = Object.fromEntries(pairs.map((pair) => [pair.slice(0, pair.indexOf("=")), pair.slice(pair.indexOf("=") + 1)]));
  if (pairs.some((pair) => pair.indexOf("=") < 1)) context.addIssue("not a list of key=value with commas");
  return labels;
});

const Environment = z.object({
  NATS_URL: z.string().default("nats://127.0.0.1:4222"),
  DOCKER_HOST: z.string().default(NODE_DEFAULTS.dockerHost),
  BANYAN_CLUSTER_TOKEN: z.string().min(16),
  BANYAN_DATA_DIR: z.string().startsWith("/").default(NODE_DEFAULTS.dataDir),
  BANYAN_NODE_ID: NodeId.optional(),
  BANYAN_NODE_LABELS: Labels.default({}),
  BANYAN_NODE_LISTEN_HOST: z.string().default("127.0.0.1"),
  BANYAN_NODE_LISTEN_PORT: z.coerce.number().int().min(0).max(65_535).default(0),
  BANYAN_NODE_URL: z.url().optional(),
  BANYAN_SLOT_MAKER: z.enum(["docker", "oci"]).default(NODE_DEFAULTS.slotMaker),
  BANYAN_OCI_RUNTIME: z.string().min(1).default(NODE_DEFAULTS.ociRuntime),
  BANYAN_POOL_SIZE: z.coerce.number().int().min(0).default(NODE_DEFAULTS.pool.target),
  BANYAN_POOL_REFILL_PARALLEL: Count.default(NODE_DEFAULTS.pool.parallel),
  BANYAN_POOL_REFILL_PER_S: z.coerce.number().positive().optional(),
  BANYAN_POOL_REFILL_QUIET_MS: z.coerce.number().min(0).default(NODE_DEFAULTS.pool.quietMs),
  BANYAN_SLOTS_MAX: Count.default(NODE_DEFAULTS.pool.slotsMax),
  BANYAN_NODE_SUBNET: z.cidrv4().default(NODE_DEFAULTS.subnet),
  BANYAN_NODE_DNS: z
    .string()
    .transform((text) => text.split(","))
    .pipe(z.array(z.ipv4()))
    .optional(),
  BANYAN_NODE_DISK: z.enum(["auto", "btrfs", "plain"]).default(NODE_DEFAULTS.disk),
  BANYAN_NODE_DISK_MB: Count.optional(),
  BANYAN_CPU_OVERCOMMIT: Factor.default(NODE_DEFAULTS.overcommit.cpu),
  BANYAN_MEMORY_OVERCOMMIT: Factor.default(NODE_DEFAULTS.overcommit.memory),
  BANYAN_DISK_OVERCOMMIT: Factor.default(NODE_DEFAULTS.overcommit.disk),
  BANYAN_LAYER_AGE_S: Count.default(NODE_DEFAULTS.layers.ageS),
  BANYAN_LAYER_DISK_SHARE: z.coerce.number().gt(0).max(1).default(NODE_DEFAULTS.layers.diskShare),
  BANYAN_VOLUME_DIR: z.string().startsWith("/").optional(),
  BANYAN_OBJECTS: z.enum(["auto", "on", "off"]).default(OBJECTS_DEFAULTS.mode),
  BANYAN_OBJECT_CACHE_MB: Count.default(OBJECTS_DEFAULTS.cacheMb),
  BANYAN_NODE_ON_STOP: z.enum(["keep", "purge"]).default(NODE_DEFAULTS.onStop),
});

/** How a machine becomes a node of a cluster that it does not know yet. */
export interface JoinConfig {
  /** The whole environment, to which the cluster's answer is added. */
  environment: NodeJS.ProcessEnv;
  /** It says itself which cluster this is a node of. */
  isKnown: boolean;
  token: string | null;
  gatewayUrl: string | null;
  dataDir: string;
  nodeId: string | null;
}

const JoinEnvironment = z.object({
  BANYAN_CLUSTER_TOKEN: z.string().optional(),
  BANYAN_JOIN_TOKEN: z.string().max(256).optional(),
  BANYAN_GATEWAY_URL: z.url({ protocol: /^https?$/ }).optional(),
  BANYAN_DATA_DIR: Environment.shape.BANYAN_DATA_DIR,
  BANYAN_NODE_ID: NodeId.optional(),
});

export function readJoinConfig(environment: NodeJS.ProcessEnv = process.env): JoinConfig {
  const read = readEnvironment(JoinEnvironment, environment);
  return {
    environment,
    isKnown: read.BANYAN_CLUSTER_TOKEN !== undefined,
    token: read.BANYAN_JOIN_TOKEN ?? null,
    gatewayUrl: read.BANYAN_GATEWAY_URL ?? null,
    dataDir: read.BANYAN_DATA_DIR,
    nodeId: read.BANYAN_NODE_ID ?? null,
  };
}

/** The only place of this service that reads the environment. */
export function readConfig(environment: NodeJS.ProcessEnv = process.env): Config {
  const read = readEnvironment(Environment, environment);
  return {
    ...readBaseConfig(environment, { healthPort: HEALTH_PORT }),
    natsUrl: read.NATS_URL,
    clusterToken: read.BANYAN_CLUSTER_TOKEN,
    listenHost: read.BANYAN_NODE_LISTEN_HOST,
    listenPort: read.BANYAN_NODE_LISTEN_PORT,
    url: read.BANYAN_NODE_URL ?? null,
    labels: read.BANYAN_NODE_LABELS,
    node: {
      nodeId: read.BANYAN_NODE_ID ?? null,
      dataDir: read.BANYAN_DATA_DIR,
      dockerHost: read.DOCKER_HOST,
      slotMaker: read.BANYAN_SLOT_MAKER,
      ociRuntime: read.BANYAN_OCI_RUNTIME,
      pool: {
        target: read.BANYAN_POOL_SIZE,
        parallel: read.BANYAN_POOL_REFILL_PARALLEL,
        perS: read.BANYAN_POOL_REFILL_PER_S ?? REFILL_PER_S[read.BANYAN_SLOT_MAKER],
        slotsMax: read.BANYAN_SLOTS_MAX,
        quietMs: read.BANYAN_POOL_REFILL_QUIET_MS,
      },
      overcommit: { cpu: read.BANYAN_CPU_OVERCOMMIT, memory: read.BANYAN_MEMORY_OVERCOMMIT, disk: read.BANYAN_DISK_OVERCOMMIT },
      subnet: read.BANYAN_NODE_SUBNET,
      resolvers: read.BANYAN_NODE_DNS ?? null,
      disk: read.BANYAN_NODE_DISK,
      diskMb: read.BANYAN_NODE_DISK_MB ?? null,
      layers: { ageS: read.BANYAN_LAYER_AGE_S, diskShare: read.BANYAN_LAYER_DISK_SHARE },
      volumeDir: read.BANYAN_VOLUME_DIR ?? null,
      objects: { mode: read.BANYAN_OBJECTS, cacheMb: read.BANYAN_OBJECT_CACHE_MB },
      onStop: read.BANYAN_NODE_ON_STOP,
    },
  };
}
