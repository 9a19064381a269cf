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
  /** `off`: no registry is asked, packages are taken from the archive at once. */
  registry: "auto" | "off";
}

const Environment = z.object({
  NATS_URL: z.string(),
  DATABASE_URL: z.string(),
  DOCKER_HOST: z.url({ protocol: /^(unix|tcp)$/ }).default("unix:///var/run/docker.sock"),
  BANYAN_DATA_DIR: z.string().default("/var/lib/banyan"),
  BANYAN_IMAGE_BUILDER_SCHEMA: z.string().default("image_builder"),
  BANYAN_IMAGE_CACHE_DIR: z.string().optional(),
  BANYAN_IMAGE_REGISTRY: z.enum(["auto", "off"]).default("auto"),
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
    registry: read.BANYAN_IMAGE_REGISTRY,
  };
}
