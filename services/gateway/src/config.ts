import type { Quota } from "@banyan/contracts";
import { type BaseConfig, readBaseConfig, readEnvironment } from "@banyan/service";
import { z } from "zod";

export interface Config extends Pick<BaseConfig, "blobs"> {
  natsUrl: string;
  databaseUrl: string;
  databaseSchema: string;
  /** Shared with the nodes; signs links too. */
  clusterToken: string;
  httpHost: string;
  /** 0: any free one. */
  httpPort: number;
  /** How clients reach this API; null: by the address it listens on. */
  publicUrl: string | null;
  /** This admin key of the organisation `default` exists after the start. */
  bootstrapKey: string | null;
  /** Where nodes that join reach NATS, with the credentials they are to have; null: none may join here. */
  joinNatsUrl: string | null;
  /** What an organisation may hold unless an admin says otherwise. */
  defaultQuota: Quota;
  /** Who may make volumes of the backend `object`: their endpoints have nodes reach into networks. */
  objectVolumes: ObjectVolumes;
}

const OBJECT_VOLUMES = ["off", "admin", "all"] as const;
export type ObjectVolumes = (typeof OBJECT_VOLUMES)[number];

export const CONFIG_DEFAULTS = {
  databaseSchema: "gateway",
  httpHost: "127.0.0.1",
  httpPort: 7070,
  publicUrl: null,
  bootstrapKey: null,
  joinNatsUrl: null,
  defaultQuota: { sandboxes: 1_000, cpu: 1_000, memoryMb: 1024 * 1024 },
  objectVolumes: "admin" as ObjectVolumes,
} satisfies Partial<Config>;

const HEALTH_PORT = 7071;

const Environment = z.object({
  NATS_URL: z.string(),
  DATABASE_URL: z.string(),
  BANYAN_CLUSTER_TOKEN: z.string().min(16),
  BANYAN_HTTP_HOST: z.string().default(CONFIG_DEFAULTS.httpHost),
  BANYAN_HTTP_PORT: z.coerce.number().int().min(0).max(65_535).default(CONFIG_DEFAULTS.httpPort),
  BANYAN_PUBLIC_URL: z.url({ protocol: /^https?$/ }).optional(),
  BANYAN_JOIN_NATS_URL: z.string().optional(),
  BANYAN_OBJECT_VOLUMES: z.enum(OBJECT_VOLUMES).default(CONFIG_DEFAULTS.objectVolumes),
  BANYAN_BOOTSTRAP_KEY: z
    .string()
    .min(16)
    .max(256)
    .regex(/^[\x21-\x7e]+$/, "printable characters without spaces")
    .optional(),
});

/** The only place of this service that reads the environment. */
export function readConfig(env: NodeJS.ProcessEnv = process.env): Config & BaseConfig {
  const read = readEnvironment(Environment, env);
  return {
    ...CONFIG_DEFAULTS,
    ...readBaseConfig(env, { healthPort: HEALTH_PORT }),
    natsUrl: read.NATS_URL,
    databaseUrl: read.DATABASE_URL,
    clusterToken: read.BANYAN_CLUSTER_TOKEN,
    httpHost: read.BANYAN_HTTP_HOST,
    httpPort: read.BANYAN_HTTP_PORT,
    publicUrl: read.BANYAN_PUBLIC_URL ?? null,
    bootstrapKey: read.BANYAN_BOOTSTRAP_KEY ?? null,
    joinNatsUrl: read.BANYAN_JOIN_NATS_URL ?? null,
    objectVolumes: read.BANYAN_OBJECT_VOLUMES,
  };
}
