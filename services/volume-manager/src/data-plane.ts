import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { buildNative } from "@banyan/runtime";
import { startLoop } from "@banyan/service";
import type { Config } from "./config.ts";
import { Content } from "./content/content.ts";
import { FileServers } from "./content/servers.ts";
import type { Context } from "./context.ts";
import { createContentServer } from "./http/server.ts";
import { removeExpired } from "./uploads/remove-expired.ts";
import { Uploads } from "./uploads/uploads.ts";

export interface DataPlane {
  url: string;
  close(): Promise<void>;
}

const SERVERS_MAX = 64;

/** Where the content of volumes is served. */
export async function openDataPlane(config: Config, ctx: Omit<Context, "url">): Promise<DataPlane> {
  const { clock, logger } = ctx;
  const { init } = await buildNative();
  const servers = await FileServers.open({
    init,
    directory: join(config.dataDir, "volume-manager-run"),
    serversMax: SERVERS_MAX,
    idleMs: config.volumes.serverIdleMs,
    clock,
    logger,
  });
  const content = new Content(ctx, servers);
  const uploads = new Uploads({ db: ctx.db, clock, holder: ctx.holder, content });
  const server = createContentServer({ content, uploads, clusterToken: config.clusterToken, logger });
  await listen(server, config);
  const expire = startLoop({
    name: "remove-expired-uploads",
    everyMs: config.volumes.expireUploadsEveryMs,
    clock,
    logger,
    round: () => removeExpired({ db: ctx.db, clock, logger, uploads }),
  });
  const { port } = server.address() as AddressInfo;
  return {
    url: config.url ?? `http://${config.listenHost}:${port}`,
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
      await expire.stop();
      await servers.close();
    },
  };
}

function listen(server: Server, { listenHost, listenPort }: Config): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(listenPort, listenHost, () => resolve());
  });
}
