import { type BaseConfig, readBaseConfig, readEnvironment } from "@banyan/service";
import { z } from "zod";

const HEALTH_PORT = 7071;
const DOCKER_HOST_SYSTEM = "unix:///var/run/docker.sock";

export interface Config extends BaseConfig {
  dataDir: string;
  httpHost: string;
  /** 0: any free one. */
  httpPort: number;
  /** on: run it and go on serving; only: end after it. */
  demo: "on" | "off" | "only";
  /** Configured ones are used; null: an own one is started. */
  natsUrl: string | null;
  databaseUrl: string | null;
  dockerHost: string | null;
  /** Tried before an own engine is started; null: it is to be an own one. */
  dockerHostSystem: string | null;
  clusterToken: string | null;
  apiKey: string | null;
  /** The whole environment, for the services' own configurations. */
  environment: NodeJS.ProcessEnv;
}

const Environment = z.object({
  BANYAN_DATA_DIR: z.string().startsWith("/", "must be an absolute path").default("/var/lib/banyan"),
  BANYAN_HTTP_HOST: z.string().default("127.0.0.1"),
  BANYAN_HTTP_PORT: z.coerce.number().int().min(0).max(65_535).default(7070),
  BANYAN_DEMO: z.enum(["on", "off", "only"]).default("on"),
  BANYAN_CLUSTER_TOKEN: z.string().min(16).optional(),
  BANYAN_BOOTSTRAP_KEY: z.string().min(16).optional(),
  NATS_URL: z.string().optional(),
  DATABASE_URL: z.string().optional(),
  DOCKER_HOST: z.url({ protocol: /^(unix|tcp)$/ }).optional(),
  BANYAN_DOCKER: z.enum(["auto", "own"]).default("auto"),
});

/** The only place of this service that reads the environment. */
export function readConfig(environment: NodeJS.ProcessEnv = process.env): Config {
  const read = readEnvironment(Environment, environment);
  const isOwn = read.BANYAN_DOCKER === "own";
  return {
    ...readBaseConfig(environment, { healthPort: HEALTH_PORT }),
    dataDir: read.BANYAN_DATA_DIR,
    httpHost: read.BANYAN_HTTP_HOST,
    httpPort: read.BANYAN_HTTP_PORT,
    demo: read.BANYAN_DEMO,
    natsUrl: read.NATS_URL ?? null,
    databaseUrl: read.DATABASE_URL ?? null,
    dockerHost: isOwn ? null : (read.DOCKER_HOST ?? null),
    dockerHostSystem: isOwn ? null : DOCKER_HOST_SYSTEM,
    clusterToken: read.BANYAN_CLUSTER_TOKEN ?? null,
    apiKey: read.BANYAN_BOOTSTRAP_KEY ?? null,
    environment,
  };
}
