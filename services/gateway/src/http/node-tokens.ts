import { api } from "@banyan/contracts";
import { hashKey, newJoinToken } from "../domain/api-key.ts";
import { insertJoinToken } from "../store/insert-join-token.ts";
import { route } from "./route.ts";

const createNodeToken = route({
  method: "POST",
  path: "/v1/nodes/tokens",
  operationId: "createNodeToken",
  tag: "nodes",
  summary: "Make a token with which machines join this cluster; it is shown this once",
  access: "admin",
  secret: true,
  body: api.CreateNodeTokenBody,
  replies: { 201: { description: "The token.", schema: api.NodeToken } },
  errors: ["database.unavailable"],
  async handle({ body }, { db, clock }) {
    const token = newJoinToken();
    const now = clock.now();
    const expiresAt = new Date(now + body.ttl_s * 1_000);
    const { uses, node_id: nodeId = null } = body;
    await insertJoinToken(db, { hash: hashKey(token), nodeId, usesLeft: uses, expiresAt, createdAt: new Date(now) });
    return { status: 201, body: { token, uses, node_id: nodeId, expires_at: expiresAt.toISOString() } };
  },
});

export const nodeTokenRoutes = [createNodeToken];
