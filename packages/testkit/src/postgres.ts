import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLogger } from "@banyan/kernel";
import { type EmbeddedServer, freePort, startPostgresServer } from "@banyan/service";
import postgres from "postgres";
import { killServer, removeWhenWeEnd } from "./leftovers.ts";

export interface TestPostgres {
  readonly url: string;
  readonly port: number;
  /** The url of a database that nobody has used. */
  freshDatabase(): Promise<string>;
  /** The name of a schema that nobody has used. */
  freshSchema(): string;
  /** Stops the server, sessions and all; its data stays. */
  pause(): Promise<void>;
  resume(): Promise<void>;
  stop(): Promise<void>;
}

/** A real Postgres on a free port, with a cluster of its own; one is enough for a test file. `durable`: as in production, for what is measured. */
export async function startPostgres({ durable = false }: { durable?: boolean } = {}): Promise<TestPostgres> {
  const dataDir = await mkdtemp(join(tmpdir(), "banyan-postgres-"));
  const port = await freePort();
  const start = (): Promise<EmbeddedServer> => startPostgresServer({ dataDir, port, logger: silentLogger, durable });
  let server = await start();
  let forget = removeWhenWeEnd(server.pid, dataDir);
  let made = 0;
  const end = async (): Promise<void> => {
    await server.stop();
    forget();
  };
  return {
    url: server.url,
    port,
    async freshDatabase() {
      const name = `test_${++made}`;
      const sql = postgres(server.url, { max: 1 });
      await sql`create database ${sql(name)}`;
      await sql.end();
      const url = new URL(server.url);
      url.pathname = `/${name}`;
      return url.href;
    },
    freshSchema: () => `test_${++made}`,
    pause: end,
    async resume() {
      server = await start();
      forget = removeWhenWeEnd(server.pid, dataDir);
    },
    async stop() {
      killServer(server.pid);
      await end();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}
