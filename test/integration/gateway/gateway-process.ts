import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { eventually, freePort } from "@banyan/testkit";
import { BOOTSTRAP_KEY, CLUSTER_TOKEN, type Cluster } from "./cluster.ts";

const MAIN = fileURLToPath(new URL("../../../services/gateway/src/main.ts", import.meta.url));

export interface GatewayProcess {
  url: string;
  /** kill -9. */
  kill(): Promise<void>;
}

/** The gateway as it runs alone: its own process, configured by its environment. */
export async function startGatewayProcess({ nats, gatewayConfig }: Pick<Cluster, "nats" | "gatewayConfig">): Promise<GatewayProcess> {
  const port = await freePort();
  const env = {
    PATH: process.env.PATH,
    NATS_URL: nats.url,
    DATABASE_URL: gatewayConfig.databaseUrl,
    BANYAN_CLUSTER_TOKEN: CLUSTER_TOKEN,
    BANYAN_BOOTSTRAP_KEY: BOOTSTRAP_KEY,
    BANYAN_HTTP_PORT: String(port),
    BANYAN_HEALTH_PORT: "0",
    BANYAN_LOG_LEVEL: "error",
  };
  const child = spawn(process.execPath, [MAIN], { env, stdio: ["ignore", "inherit", "inherit"] });
  const exited = once(child, "exit");
  const kill = async (): Promise<void> => {
    child.kill("SIGKILL");
    await exited;
  };
  const url = `http://127.0.0.1:${port}`;
  try {
    await eventually(
      async () => {
        if (child.exitCode !== null) throw new Error(`the gateway ended with ${child.exitCode}`);
        await fetch(`${url}/healthz`);
      },
      { timeoutMs: 30_000 },
    );
  } catch (error) {
    await kill();
    throw error;
  }
  return { url, kill };
}
