import { type BaseConfig, readBaseConfig, readEnvironment } from "@banyan/service";
import { z } from "zod";

const HEALTH_PORT = 7071;
const DOCKER_SOCKET_DEFAULT = "unix:///var/run/docker.sock";

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
  /** Configured, else the system's where it answers, else an own one. */
  dockerHost: string | null;
  dockerHostDefault: string;
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
});

/** The only place of this service that reads the environment. */
export function readConfig(environment: NodeJS.ProcessEnv = process.env): Config {
  const read = readEnvironment(Environment, environment);
  return {
    ...readBaseConfig(environment, { healthPort: HEALTH_PORT }),
    dataDir: read.BANYAN_DATA_DIR,
    httpHost: read.BANYAN_HTTP_HOST,
    httpPort: read.BANYAN_HTTP_PORT,
    demo: read.BANYAN_DEMO,
    natsUrl: read.NATS_URL ?? null,
    databaseUrl: read.DATABASE_URL ?? null,
    dockerHost: read.DOCKER_HOST ?? null,
    dockerHostDefault: DOCKER_SOCKET_DEFAULT,
    clusterToken: read.BANYAN_CLUSTER_TOKEN ?? null,
    apiKey: read.BANYAN_BOOTSTRAP_KEY ?? null,
    environment,
  };
}
