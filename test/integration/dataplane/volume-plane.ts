import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fault } from "@banyan/contracts";
import { FILE_ROUTES, sendProblem } from "@banyan/files";
import { silentLogger, systemClock } from "@banyan/kernel";
import { buildNative, openFileServer } from "@banyan/runtime";
import { Banyan, type VolumeHandle } from "@banyan/sdk";

export interface VolumePlane {
  /** What lies in the volume, as the host sees it. */
  root: string;
  volume: VolumeHandle;
  /** Each request: `PUT tar`. */
  asked: string[];
  stop(): Promise<void>;
}

/** The files of one directory, served as those of a volume are: the same handlers, and the same `init` rooted in it. */
export async function startVolumePlane(): Promise<VolumePlane> {
  const dir = await mkdtemp(join(tmpdir(), "bnyvp-"));
  const root = await mkdtemp(join(tmpdir(), "bnyvol-"));
  const { init } = await buildNative();
  const files = await openFileServer({ init, socketPath: join(dir, "s"), root, readOnly: false, clock: systemClock });
  const asked: string[] = [];
  const server = createServer(async (request, response) => {
    const { pathname, search } = new URL(request.url ?? "", "http://x");
    const verb = pathname.split("/files/")[1];
    asked.push(`${request.method} ${verb}`);
    const route = FILE_ROUTES.find(({ method, path }) => method === request.method && path === verb);
    const gone = new AbortController();
    response.on("close", () => gone.abort());
    try {
      if (route === undefined) throw fault("request.not_found");
      await route.handler({ request, response, files: files.files, query: search, signal: gone.signal });
    } catch (error) {
      sendProblem(response, error, "req_test", silentLogger);
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    root,
    volume: new Banyan({ url: `http://127.0.0.1:${port}`, apiKey: "k" }).volumes.at("data"),
    asked,
    async stop() {
      server.closeAllConnections();
      server.close();
      await files.close();
      for (const path of [dir, root]) await rm(path, { recursive: true });
    },
  };
}
