import type { Clock, Logger } from "@banyan/kernel";
import type { Metrics, Telemetry } from "@banyan/telemetry";

/** What a service is given by the process it runs in. */
export interface Host {
  logger: Logger;
  clock: Clock;
  /** Its own: every value carries the service's name. */
  metrics: Metrics;
  /** The process's. */
  telemetry: Telemetry;
}

export interface RunningService {
  /** In order: takes no more, ends what is under way, lets go of what it holds. */
  stop(): Promise<void>;
  /** Readiness by name; one that throws says why the service is not ready. */
  checks: Record<string, () => Promise<void>>;
}

/** The same face for all: alone in its process or beside others. */
export interface Service<C> {
  name: string;
  start(config: C, host: Host): Promise<RunningService>;
}

export const defineService = <C>(service: Service<C>): Service<C> => service;
