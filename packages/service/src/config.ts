import type { S3Location } from "@banyan/bus";
import { fault } from "@banyan/contracts";
import type { LogLevel } from "@banyan/telemetry";
import { z } from "zod";

/** What every process has. */
export interface BaseConfig {
  logLevel: LogLevel;
  healthHost: string;
  /** 0: any free one. */
  healthPort: number;
  otlpEndpoint: string | null;
  /** Where blobs are kept; null: in NATS itself. */
  blobs?: S3Location | null;
}

type Environment = Record<string, string | undefined>;

const Port = z.coerce.number().int().min(0).max(65_535);

/** Reads the environment by a schema of its names. An empty variable counts as not set. The error names every variable that is wrong. */
export function readEnvironment<S extends z.ZodType>(schema: S, environment: Environment): z.infer<S> {
  const set = Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== undefined && value !== ""));
  const parsed = schema.safeParse(set);
  if (parsed.success) return parsed.data;
  const issues = parsed.error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`);
  throw fault("request.invalid", { issues }, { message: `The configuration is not valid: ${issues.join("; ")}` });
}

export function readBaseConfig(environment: Environment, defaults: { healthPort: number }): BaseConfig {
  const schema = z.object({
    BANYAN_LOG_LEVEL: z.enum(["debug", "info", "warn", "error", "silent"]).default("info"),
    BANYAN_HEALTH_HOST: z.string().default("127.0.0.1"),
    BANYAN_HEALTH_PORT: Port.default(defaults.healthPort),
    OTEL_EXPORTER_OTLP_ENDPOINT: z.url().optional(),
  });
  const read = readEnvironment(schema, environment);
  return {
    logLevel: read.BANYAN_LOG_LEVEL,
    healthHost: read.BANYAN_HEALTH_HOST,
    healthPort: read.BANYAN_HEALTH_PORT,
    otlpEndpoint: read.OTEL_EXPORTER_OTLP_ENDPOINT ?? null,
    blobs: readBlobs(environment),
  };
}

/** `BANYAN_BLOBS=s3://bucket/prefix`, with the keys in variables of their own. */
function readBlobs(environment: Environment): S3Location | null {
  if ((environment.BANYAN_BLOBS ?? "") === "") return null;
  const read = readEnvironment(
    z.object({
      BANYAN_BLOBS: z.string().regex(/^s3:\/\/[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](\/[^?#]*)?$/, "as in `s3://bucket/prefix`"),
      BANYAN_BLOBS_ENDPOINT: z.url({ protocol: /^https?$/ }).optional(),
      BANYAN_BLOBS_REGION: z.string().default("us-east-1"),
      BANYAN_BLOBS_ACCESS_KEY_ID: z.string(),
      BANYAN_BLOBS_SECRET_ACCESS_KEY: z.string(),
    }),
    environment,
  );
  const [bucket = "", ...prefix] = read.BANYAN_BLOBS.slice("s3://".length).split("/");
  const path = prefix.filter((part) => part !== "").join("/");
  return {
    endpoint: read.BANYAN_BLOBS_ENDPOINT ?? `https://s3.${read.BANYAN_BLOBS_REGION}.amazonaws.com`,
    region: read.BANYAN_BLOBS_REGION,
    bucket,
    prefix: path === "" ? "" : `${path}/`,
    accessKeyId: read.BANYAN_BLOBS_ACCESS_KEY_ID,
    secretAccessKey: read.BANYAN_BLOBS_SECRET_ACCESS_KEY,
  };
}
