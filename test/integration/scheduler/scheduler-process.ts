import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { World } from "./harness.ts";

const MAIN = fileURLToPath(new URL("../../../services/scheduler/src/main.ts", import.meta.url));

export interface SchedulerProcess {
  /** kill -9. */
  kill(): Promise<void>;
  /** SIGTERM; answers the exit code. */
  end(): Promise<number | null>;
}

/** The scheduler as it is run: its own process, configured by the environment. Resolves when it is ready. */
export async function spawnScheduler(world: World, environment: Record<string, string> = {}): Promise<SchedulerProcess> {
  const { config } = world;
  const child = spawn(process.execPath, [MAIN], {
    stdio: ["ignore", "pipe", "inherit"],
    env: {
      NATS_URL: config.natsUrl,
      DATABASE_URL: config.databaseUrl,
      BANYAN_SCHEDULER_SCHEMA: config.databaseSchema,
      BANYAN_HEALTH_PORT: "0",
      BANYAN_RECONCILE_EVERY_MS: "200",
      BANYAN_ORPHAN_GRACE_MS: "500",
      BANYAN_START_MARGIN_MS: "500",
      ...environment,
    },
  });
  await ready(child);
  return {
    async kill() {
      child.kill("SIGKILL");
      if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
    },
    async end() {
      child.kill("SIGTERM");
      if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
      return child.exitCode;
    },
  };
}

async function ready(child: ChildProcess): Promise<void> {
  let said = "";
  for await (const chunk of child.stdout ?? []) {
    said += String(chunk);
    if (said.includes('"msg":"ready"')) break;
  }
  if (!said.includes('"msg":"ready"')) throw new Error(`the scheduler did not start:\n${said}`);
  child.stdout?.resume();
}
