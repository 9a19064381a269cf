import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { Config } from "./config.ts";
import type { Context } from "./context.ts";

export interface DataPlane {
  url: string;
  close(): Promise<void>;
}

/** Where the content of volumes is served. */
export async function openDataPlane(config: Config, _ctx: Omit<Context, "url">): Promise<DataPlane> {
  const server = createServer((_request, response) => response.writeHead(404).end());
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(config.listenPort, config.listenHost, () => resolve());
  });
  const { port } = server.address() as AddressInfo;
  return {
    url: config.url ?? `http://${config.listenHost}:${port}`,
    close: () => new Promise((resolve) => server.close(() => resolve())),
  };
}
