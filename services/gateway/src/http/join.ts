import { api, fault } from "@banyan/contracts";
import type { Hono } from "hono";
import { hashKey } from "../domain/api-key.ts";
import type { JoinSettings } from "../ports.ts";
import { takeJoinToken } from "../store/take-join-token.ts";
import type { HttpEnv } from "./context.ts";
import type { Gateway } from "./gateway.ts";
import { invalid } from "./problems.ts";
import { readJson } from "./read-body.ts";
import type { RouteDescription } from "./route.ts";

const PATH = "/v1/nodes/join";

export const joinRoutes: RouteDescription[] = [
  {
    method: "POST",
    path: PATH,
    operationId: "joinNode",
    tag: "nodes",
    summary: "Join this cluster as a node; the token in the body is the credential",
    access: "open",
    body: api.JoinNodeBody,
    replies: { 200: { description: "What a node needs. Keep it secret.", schema: api.JoinedNode } },
    errors: ["node.join_refused", "database.unavailable"],
  },
];

/** Before whoever asks for an API key: a machine that joins has none. Its answer is kept by nobody but the machine. */
export function mountJoin(app: Hono<HttpEnv>, { db, clock, join }: Pick<Gateway, "db" | "clock" | "join">): void {
  app.post(PATH, async (c) => {
    const parsed = api.JoinNodeBody.safeParse(await readJson(c.req.raw, clock));
    if (!parsed.success) throw invalid(parsed.error, "body");
    if (join === null) {
      throw fault(
        "node.join_refused",
        {},
        { message: "This gateway does not say how nodes reach the bus: its operator sets BANYAN_JOIN_NATS_URL." },
      );
    }
    const { token, node_id: nodeId = null } = parsed.data;
    const taken = await takeJoinToken(db, { hash: hashKey(token), nodeId, now: clock.now() });
    if (taken === null) throw fault("node.join_refused");
    c.header("cache-control", "no-store");
    return c.json(joinedView(join, taken.nodeId ?? nodeId));
  });
}

function joinedView({ natsUrl, clusterToken, blobs }: JoinSettings, nodeId: string | null): api.JoinedNode {
  return {
    node_id: nodeId,
    nats_url: natsUrl,
    cluster_token: clusterToken,
    blobs: blobs && {
      endpoint: blobs.endpoint,
      region: blobs.region,
      bucket: blobs.bucket,
      prefix: blobs.prefix,
      access_key_id: blobs.accessKeyId,
      secret_access_key: blobs.secretAccessKey,
    },
  };
}
