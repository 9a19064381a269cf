import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { api, fault, type InputOf, type RouteSandbox, type SandboxRoute } from "@banyan/contracts";
import { AppError, type Clock, newId, silentLogger, systemClock } from "@banyan/kernel";
import { buildNative, InitClient } from "@banyan/runtime";
import { getRequestListener } from "@hono/node-server";
import { Hono } from "hono";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import {
  attachUpgrades,
  createNodePools,
  createRouteMemory,
  type ForwardDeps,
  type ForwardEnv,
  forwardRoutes,
  previewMiddleware,
} from "../../../services/gateway/src/forward/index.ts";
import type { Caller } from "../../../services/gateway/src/ports.ts";
import { createDataPlane, type DataPlane } from "../../../services/runner-agent/src/http/server.ts";
import type { StoredFiles } from "../../../services/runner-agent/src/http/stored-files.ts";
import type { RunningSandbox, SandboxDirectory } from "../../../services/runner-agent/src/ports.ts";
import { type HostInit, startHostInit } from "./host-init.ts";

export const CLUSTER_TOKEN = "the cluster's token";

/** One node with one sandbox, and the gateway's forwarding in front of it: the whole data plane, without what decides where sandboxes run. */
export interface Cluster {
  url: string;
  nodePort: number;
  sandboxId: string;
  /** Of the sandbox's organisation, and of another one. */
  key: string;
  orgId: string;
  otherKey: string;
  init: HostInit;
  /** How many operations are under way, as the sandbox's idleness is counted. */
  inUse(): number;
  /** The node's side of a new incarnation; the gateway learns of it only by asking. */
  epoch: number;
  /** How often the scheduler was asked for the route. */
  routesAsked: number;
  clock: Clock & { offsetMs: number };
  call(path: string, init?: RequestInit & { json?: unknown }): Promise<Response>;
  exec(body: api.ExecInput): Promise<api.ExecResult>;
  restartNode(): Promise<void>;
  stopNode(): Promise<void>;
  stop(): Promise<void>;
}

export async function startCluster(): Promise<Cluster> {
  const init = await startHostInit((await buildNative()).init);
  const sandboxId = newId("sbx");
  const owner = caller();
  const callers = new Map([
    ["bny_owner", owner],
    ["bny_other", caller()],
  ]);
  const clock = { ...systemClock, offsetMs: 0, now: () => Date.now() + clock.offsetMs };
  let inUse = 0;
  const sandbox: Omit<RunningSandbox, "epoch"> = {
    sandboxId,
    orgId: owner.orgId,
    init: new InitClient(init.socketPath),
    env: { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", FROM_SANDBOX: "yes" },
    workdir: "/root",
    user: "root",
    use() {
      inUse++;
      return () => void inUse--;
    },
    oomKills: async () => init.oomKills(),
  };
  const directory: SandboxDirectory = {
    find(ref) {
      if (ref.sandboxId !== sandboxId || ref.orgId !== owner.orgId) throw fault("sandbox.not_found", { sandboxId: ref.sandboxId });
      if (ref.epoch !== cluster.epoch) throw fault("sandbox.stale_epoch", { sandboxId });
      return { ...sandbox, epoch: cluster.epoch };
    },
  };
  const stored: StoredFiles = {
    find({ sandboxId }) {
      throw fault("sandbox.not_found", { sandboxId });
    },
  };
  const makeNode = (): DataPlane => createDataPlane({ directory, stored, clusterToken: CLUSTER_TOKEN, logger: silentLogger, clock });
  let node = makeNode();
  const { port: nodePort } = await node.listen("127.0.0.1", 0);

  const routes = createRouteMemory({
    bus: {
      call: (async (_verb: typeof RouteSandbox, input: InputOf<typeof RouteSandbox>): Promise<SandboxRoute> => {
        cluster.routesAsked++;
        if (input.id !== sandboxId || input.orgId !== owner.orgId) throw fault("sandbox.not_found", { sandboxId: input.id });
        return { sandboxId, orgId: owner.orgId, nodeId: "test", url: `http://127.0.0.1:${nodePort}`, epoch: cluster.epoch };
      }) as never,
    },
  });
  const nodes = createNodePools();
  const server = createServer({ requestTimeout: 0 });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const authenticator = {
    async authenticate({ authorization, apiKey }: { authorization: string | undefined; apiKey: string | undefined }): Promise<Caller> {
      const key = authorization?.replace(/^Bearer /, "") ?? apiKey;
      if (key === undefined) throw fault("auth.missing");
      const found = callers.get(key);
      if (!found) throw fault("auth.invalid");
      return found;
    },
  };
  const deps: ForwardDeps = { authenticator, routes, nodes, clusterToken: CLUSTER_TOKEN, publicUrl: url, logger: silentLogger, clock };
  server.on("request", getRequestListener(gatewayApp(deps).fetch, { overrideGlobalObjects: false }));
  const endUpgrades = attachUpgrades(server, deps);

  const cluster: Cluster = {
    url,
    nodePort,
    sandboxId,
    key: "bny_owner",
    orgId: owner.orgId,
    otherKey: "bny_other",
    init,
    inUse: () => inUse,
    epoch: 1,
    routesAsked: 0,
    clock,
    call(path, { json, ...init } = {}) {
      const headers = new Headers(init.headers);
      if (!headers.has("authorization")) headers.set("authorization", `Bearer ${cluster.key}`);
      const body = json === undefined ? init.body : JSON.stringify(json);
      return fetch(`${url}/v1/sandboxes/${sandboxId}/${path}`, {
        ...init,
        headers,
        ...(body != null && { body, duplex: "half" }),
      } as RequestInit);
    },
    async exec(body) {
      const response = await cluster.call("exec", { method: "POST", json: body });
      if (!response.ok) throw new Error(JSON.stringify(await response.json()));
      return (await response.json()) as api.ExecResult;
    },
    async stopNode() {
      await node.close();
    },
    async restartNode() {
      node = makeNode();
      await node.listen("127.0.0.1", nodePort);
    },
    async stop() {
      endUpgrades();
      await close(server);
      await nodes.close();
      await node.close();
      await init.stop();
    },
  };
  return cluster;
}

/** What of the gateway stands around the forwarding: request ids, authentication, problem documents. */
function gatewayApp(deps: ForwardDeps): Hono<ForwardEnv> {
  const app = new Hono<ForwardEnv>();
  app.onError((thrown, c) => {
    const error = thrown instanceof AppError ? thrown : fault("internal", {}, { cause: thrown });
    if (error.code === "internal") console.error(thrown);
    const problem = api.toProblem(error, c.var.requestId);
    return c.body(JSON.stringify(problem), problem.status as ContentfulStatusCode, { "content-type": api.PROBLEM_CONTENT_TYPE });
  });
  app.use(async (c, next) => {
    c.set("requestId", newId("req"));
    await next();
  });
  app.use(previewMiddleware(deps));
  app.use("/v1/*", async (c, next) => {
    c.set("caller", await deps.authenticator.authenticate({ authorization: c.req.header("authorization"), apiKey: undefined }));
    await next();
  });
  app.route("/v1/sandboxes", forwardRoutes(deps));
  return app;
}

function caller(): Caller {
  const quota = { sandboxes: 1, cpu: 1, memoryMb: 1 };
  return { keyId: newId("key"), orgId: newId("org"), orgName: "test", role: "member", quota };
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}

/** A reply that is a problem document. */
export async function problemOf(response: Response): Promise<api.Problem> {
  return api.Problem.parse(await response.json());
}
