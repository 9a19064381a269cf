import type { IncomingMessage, ServerResponse } from "node:http";
import { createMetrics, type Metrics } from "./metrics.ts";
import { startTracing } from "./tracing.ts";

export interface Telemetry {
  /** The metrics of one of the services in this process. */
  metricsOf(service: string): Metrics;
  /** Answers a request for /metrics. */
  handleMetrics(request: IncomingMessage, response: ServerResponse): void;
  /** Sends what is left. */
  stop(): Promise<void>;
}

export interface CreateTelemetryOptions {
  /** The process as traces name it. */
  serviceName: string;
  /** Tracing is on only with it. */
  otlpEndpoint?: string | null | undefined;
}

/** One for the process, however many services run in it. */
export async function createTelemetry({ serviceName, otlpEndpoint }: CreateTelemetryOptions): Promise<Telemetry> {
  const metrics = createMetrics();
  const stopTracing = otlpEndpoint ? await startTracing({ serviceName, otlpEndpoint }) : null;
  return {
    metricsOf: metrics.of,
    handleMetrics: metrics.handle,
    async stop() {
      await Promise.all([metrics.stop(), stopTracing?.()]);
    },
  };
}
