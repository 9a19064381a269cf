import { fault } from "@banyan/contracts";
import type { Histogram } from "@banyan/telemetry";
import { Hono } from "hono";
import type { ForwardDeps, VolumeForwardDeps } from "../forward/index.ts";
import { forwardRoutes, previewMiddleware, volumeForwardRoutes } from "../forward/index.ts";
import { authenticate } from "./authenticate.ts";
import { buildImageRoutes } from "./build-image.ts";
import { buildRoutes } from "./builds.ts";
import type { HttpEnv } from "./context.ts";
import { contextRoutes, mountContexts } from "./contexts.ts";
import { createForkRoutes } from "./create-fork.ts";
import { createSandboxRoutes } from "./create-sandbox.ts";
import { dataPlaneRoutes } from "./dataplane.ts";
import { diffRoutes } from "./diff.ts";
import { mountDocs } from "./docs.ts";
import { forkRoutes } from "./forks.ts";
import type { Gateway } from "./gateway.ts";
import { imageRoutes } from "./images.ts";
import { joinRoutes, mountJoin } from "./join.ts";
import { keyRoutes } from "./keys.ts";
import { lineageRoutes } from "./lineage.ts";
import { honoPath, mount } from "./mount.ts";
import { mountRoutes } from "./mounts.ts";
import { nodeTokenRoutes } from "./node-tokens.ts";
import { nodeRoutes } from "./nodes.ts";
import { observe } from "./observe.ts";
import { organisationRoutes } from "./organisations.ts";
import { asAppError, logLevelOf, problemReply } from "./problems.ts";
import { registryRoutes } from "./registries.ts";
import type { RouteDescription } from "./route.ts";
import { sandboxRoutes } from "./sandboxes.ts";
import { snapshotRoutes } from "./snapshots.ts";
import { usageRoutes } from "./usage.ts";
import { volumePlaneRoutes } from "./volume-plane.ts";
import { volumeVersionRoutes } from "./volume-versions.ts";
import { volumeRoutes } from "./volumes.ts";

const controlRoutes = [
  ...createSandboxRoutes,
  ...sandboxRoutes,
  ...snapshotRoutes,
  ...createForkRoutes,
  ...forkRoutes,
  ...lineageRoutes,
  ...volumeRoutes,
  ...volumeVersionRoutes,
  ...mountRoutes,
  ...buildImageRoutes,
  ...imageRoutes,
  ...buildRoutes,
  ...registryRoutes,
  ...usageRoutes,
  ...keyRoutes,
  ...organisationRoutes,
  ...nodeTokenRoutes,
  ...nodeRoutes,
];
/** Everything the document describes: what is answered here, and what streams past. */
export const describedRoutes: readonly RouteDescription[] = [
  ...controlRoutes,
  ...joinRoutes,
  ...contextRoutes,
  ...dataPlaneRoutes,
  ...diffRoutes,
  ...volumePlaneRoutes,
];

export interface AppDeps {
  gateway: Gateway;
  forward: ForwardDeps & VolumeForwardDeps;
  requests: Histogram;
  publicUrl: string;
}

/** The whole HTTP face, in the order a request meets it. */
export function createApp({ gateway, forward, requests, publicUrl }: AppDeps): Hono<HttpEnv> {
  const { logger, clock, authenticator } = gateway;
  const app = new Hono<HttpEnv>();
  app.onError((thrown, c) => {
    const error = asAppError(thrown);
    logger[logLevelOf(error)](
      { err: error.code === "internal" ? (error.cause ?? error) : error, requestId: c.get("requestId") },
      "request failed",
    );
    return problemReply(c, error);
  });
  app.notFound((c) => problemReply(c, fault("request.not_found", { method: c.req.method, path: c.req.path })));

  app.use(observe({ logger, clock, requests }));
  app.use(previewMiddleware(forward));
  const documents = mountDocs(app, describedRoutes, publicUrl);
  mountJoin(app, gateway);
  app.use("/v1/*", authenticate(authenticator));
  for (const route of controlRoutes) mount(app, route, gateway);
  mountContexts(app, gateway);
  app.route("/v1/sandboxes", forwardRoutes(forward));
  app.route("/v1/volumes", volumeForwardRoutes(forward));
  refuseOtherMethods(app, documents);
  return app;
}

/** A known path asked with another method says which ones it takes. */
function refuseOtherMethods(app: Hono<HttpEnv>, documents: readonly string[]): void {
  const allowed = new Map<string, string[]>(documents.map((path) => [path, ["GET"]]));
  for (const { path, method } of [...controlRoutes, ...joinRoutes, ...contextRoutes, ...diffRoutes])
    allowed.set(path, [...(allowed.get(path) ?? []), method]);
  for (const [path, methods] of allowed) {
    app.all(honoPath(path), (c) => {
      throw fault("request.method_not_allowed", { method: c.req.method, allow: methods });
    });
  }
}
