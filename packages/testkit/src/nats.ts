import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLogger } from "@banyan/kernel";
import { type EmbeddedServer, freePort, startNatsServer } from "@banyan/service";
import { killServer, removeWhenWeEnd } from "./leftovers.ts";

export interface TestNats {
  readonly url: string;
  readonly port: number;
  /** kill -9. */
  kill(): Promise<void>;
  /** Starts it again on the same port; with `loseStore` as a new machine would. */
  restart(options?: { loseStore?: boolean }): Promise<void>;
  stop(): Promise<void>;
}

/** A real nats-server with JetStream on a free port, with a store of its own. */
export async function startNats(options: { config?: string } = {}): Promise<TestNats> {
  const dataDir = await mkdtemp(join(tmpdir(), "banyan-nats-"));
  const port = await freePort();
  const start = (): Promise<EmbeddedServer> => startNatsServer({ dataDir, port, logger: silentLogger, ...options });
  let server = await start();
  let forget = removeWhenWeEnd(server.pid, dataDir);
  const end = async (): Promise<void> => {
    killServer(server.pid);
    await server.stop();
    forget();
  };
  return {
    url: server.url,
    port,
    kill: end,
    async restart({ loseStore = false } = {}) {
      await end();
      if (loseStore) await rm(join(dataDir, "store"), { recursive: true, force: true });
      server = await start();
      forget = removeWhenWeEnd(server.pid, dataDir);
    },
    async stop() {
      await end();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}
