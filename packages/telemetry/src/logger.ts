import type { Logger } from "@banyan/kernel";
import { context, trace } from "@opentelemetry/api";
import { type DestinationStream, pino } from "pino";

export type LogLevel = "debug" | "info" | "warn" | "error" | "silent";

export interface CreateLoggerOptions {
  /** Stands in every line as `service`. */
  name: string;
  level?: LogLevel;
  /** For a reader at a terminal; ignored where standard output is none. */
  pretty?: boolean;
  /** Default: standard output. */
  destination?: DestinationStream;
}

/** Names under which secrets travel. Values of a sandbox's environment belong to its owner and are never logged. */
const SECRET_NAMES = [
  "authorization",
  "cookie",
  "apiKey",
  "key",
  "token",
  "password",
  "secret",
  "env",
  "clusterToken",
  "NATS_URL",
  "DATABASE_URL",
];
const REDACT_PATHS = SECRET_NAMES.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]);

export function createLogger({ name, level = "info", pretty = false, destination }: CreateLoggerOptions): Logger {
  const options = {
    level,
    base: { service: name },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    mixin: traceIds,
    redact: { paths: REDACT_PATHS, censor: "[redacted]" },
  };
  if (destination) return pino(options, destination);
  if (pretty && process.stdout.isTTY) return pino(options, prettyStream());
  return pino(options, pino.destination({ dest: 1, sync: true }));
}

/** Lets a line be found from its trace, and the other way round. */
function traceIds(): object {
  const span = trace.getSpanContext(context.active());
  return span ? { trace_id: span.traceId, span_id: span.spanId } : {};
}

const COLOURS: Record<string, string> = { debug: "\x1b[2m", info: "\x1b[36m", warn: "\x1b[33m", error: "\x1b[31m" };

/** One short line per entry. */
function prettyStream(): DestinationStream {
  return {
    write(line) {
      const { level, time, service, msg, err, ...rest } = JSON.parse(line);
      const details = Object.keys(rest).length > 0 ? ` \x1b[2m${JSON.stringify(rest)}\x1b[0m` : "";
      const cause = err?.stack ? `\n${err.stack}` : "";
      process.stdout.write(`${time.slice(11, 23)} ${COLOURS[level] ?? ""}${level.padEnd(5)}\x1b[0m ${service}: ${msg}${details}${cause}\n`);
    },
  };
}
