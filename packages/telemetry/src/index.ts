export type { Logger } from "@banyan/kernel";
export { type CreateLoggerOptions, createLogger, type LogLevel } from "./logger.ts";
export type { Counter, Histogram, Metrics, Observed } from "./metrics.ts";
export { type CreateTelemetryOptions, createTelemetry, type Telemetry } from "./telemetry.ts";
export { traceHeaders, withSpan, withSpanFrom } from "./tracing.ts";
