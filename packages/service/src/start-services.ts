import { type Clock, type Logger, messageOf } from "@banyan/kernel";
import type { Telemetry } from "@banyan/telemetry";
import type { Checks } from "./health.ts";
import type { RunningService, Service } from "./service.ts";

const STOP_MS = 30_000;

/** One service with its configuration; made by `withConfig`, which keeps the two types together. */
export interface Entry {
  name: string;
  start(host: { logger: Logger; clock: Clock; telemetry: Telemetry }): Promise<RunningService>;
}

export function withConfig<C>(service: Service<C>, config: C): Entry {
  const { name } = service;
  return {
    name,
    start: ({ logger, clock, telemetry }) =>
      service.start(config, { logger: logger.child({ service: name }), clock, metrics: telemetry.metricsOf(name), telemetry }),
  };
}

export interface StartServicesOptions {
  logger: Logger;
  clock: Clock;
  telemetry: Telemetry;
}

/** Starts in order, one after the other; stops in the opposite order. When one does not start, those before it are stopped. */
export async function startServices(entries: readonly Entry[], options: StartServicesOptions): Promise<RunningService> {
  const running: { name: string; service: RunningService }[] = [];
  const stop = async (): Promise<void> => {
    for (const { name, service } of running.splice(0).reverse()) await stopOne(name, service, options);
  };
  try {
    for (const entry of entries) {
      const startedMs = options.clock.monotonicMs();
      running.push({ name: entry.name, service: await entry.start(options) });
      options.logger.info({ service: entry.name, ms: Math.round(options.clock.monotonicMs() - startedMs) }, "started");
    }
  } catch (error) {
    await stop();
    throw error;
  }
  const checks: Checks = {};
  for (const { name, service } of running) {
    for (const [check, run] of Object.entries(service.checks)) checks[`${name}.${check}`] = run;
  }
  return { checks, stop };
}

/** A service that does not stop in time, or fails to, does not keep the others from stopping. */
async function stopOne(name: string, service: RunningService, { logger, clock }: StartServicesOptions): Promise<void> {
  const ended = new AbortController();
  const late = clock.sleep(STOP_MS, ended.signal).then(
    () => logger.error({ service: name, deadlineMs: STOP_MS }, "did not stop in time"),
    () => {},
  );
  const stopped = service.stop().then(
    () => logger.info({ service: name }, "stopped"),
    (err: unknown) => logger.error({ service: name, err, reason: messageOf(err) }, "failed to stop"),
  );
  await Promise.race([stopped, late]);
  ended.abort();
}
