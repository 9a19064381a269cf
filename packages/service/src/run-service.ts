import { messageOf, systemClock } from "@banyan/kernel";
import { createLogger, createTelemetry } from "@banyan/telemetry";
import type { BaseConfig } from "./config.ts";
import { startHealthServer } from "./health.ts";
import type { RunningService, Service } from "./service.ts";
import { startServices, withConfig } from "./start-services.ts";

const SIGNALS = ["SIGTERM", "SIGINT"] as const;

/**
 * The whole life of a process that runs one service: health server, service, signals, ordered stop. Never throws: a failed start is
 * logged and ends the process with 1.
 */
export async function runService<C extends BaseConfig>(service: Service<C>, config: C): Promise<void> {
  const logger = createLogger({ name: service.name, level: config.logLevel });
  const die = (message: string, err: unknown): never => {
    logger.error({ err, reason: messageOf(err) }, message);
    process.exit(1);
  };
  // The state of a process after these is unknown. The next one's loops repair what this one leaves.
  process.on("uncaughtException", (err) => die("uncaught exception", err));
  process.on("unhandledRejection", (err) => die("unhandled rejection", err));
  let isStopping = false;
  let running: RunningService | null = null;
  try {
    const telemetry = await createTelemetry({ serviceName: `banyan-${service.name}`, otlpEndpoint: config.otlpEndpoint });
    const health = await startHealthServer({
      host: config.healthHost,
      port: config.healthPort,
      checks: () => (isStopping ? null : (running?.checks ?? null)),
      handleMetrics: telemetry.handleMetrics,
      logger,
      clock: systemClock,
    });
    const signalled = nextSignal(() => {
      isStopping = true;
    });
    running = await startServices([withConfig(service, config)], { logger, clock: systemClock, telemetry });
    logger.info({ healthPort: health.port }, "ready");
    logger.info({ signal: await signalled }, "stopping");
    await running.stop();
    await health.stop();
    await telemetry.stop();
    process.exit(0);
  } catch (error) {
    die("cannot start", error);
  }
}

/** The first signal; a second one ends the process at once. */
function nextSignal(onSignal: () => void): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    let signals = 0;
    for (const signal of SIGNALS) {
      process.on(signal, () => {
        if (++signals > 1) process.exit(130);
        onSignal();
        resolve(signal);
      });
    }
  });
}
