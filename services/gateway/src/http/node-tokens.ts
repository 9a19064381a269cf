import { api, fault } from "@banyan/contracts";
import { hashKey, newJoinToken } from "../domain/api-key.ts";
import { deleteJoinToken } from "../store/delete-join-token.ts";
import { insertJoinToken } from "../store/insert-join-token.ts";
import { listJoinTokens } from "../store/list-join-tokens.ts";
import { nodeTokenView } from "../views/node-token.ts";
import { route } from "./route.ts";

const createNodeToken = route({
  method: "POST",
  path: "/v1/nodes/tokens",
  operationId: "createNodeToken",
  tag: "nodes",
  summary: "Make a token with which machines join this cluster; it is shown this once",
  access: "admin",
  makes: "tok",
  secret: true,
  body: api.CreateNodeTokenBody,
  replies: { 201: { description: "The token.", schema: api.CreatedNodeToken } },
  errors: ["database.unavailable"],
  async handle({ body, resourceId }, { db, clock }) {
    const token = newJoinToken();
    const now = clock.now();
    const { uses, name = null, node_id: nodeId = null } = body;
    const row = {
      id: resourceId,
      name,
      hash: hashKey(token),
      nodeId,
      uses,
      usesLeft: uses,
      createdAt: new Date(now),
      expiresAt: new Date(now + body.ttl_s * 1_000),
    };
    await insertJoinToken(db, row);
    return { status: 201, body: { ...nodeTokenView(row), token } };
  },
});

const listNodeTokens = route({
  method: "GET",
  path: "/v1/nodes/tokens",
  operationId: "listNodeTokens",
  tag: "nodes",
  summary: "List the tokens with which machines join this cluster",
  access: "admin",
  replies: {
    200: { description: "The latest 1,000, newest first; also what was used up, or expired within a day.", schema: api.NodeTokenList },
  },
  errors: ["database.unavailable"],
  async handle(_call, { db }) {
    const rows = await listJoinTokens(db);
    return { status: 200, body: { tokens: rows.map(nodeTokenView) } };
  },
});

const revokeNodeToken = route({
  method: "DELETE",
  path: "/v1/nodes/tokens/{id}",
  operationId: "revokeNodeToken",
  tag: "nodes",
  summary: "Revoke a token: no machine joins with it any more; those that have joined stay",
  access: "admin",
  replies: { 204: { description: "It is revoked, and forgotten." } },
  errors: ["node.token_not_found", "database.unavailable"],
  async handle({ params }, { db }) {
    const { id = "" } = params;
    if (!(await deleteJoinToken(db, id))) throw fault("node.token_not_found", { id });
    return { status: 204 };
  },
});

export const nodeTokenRoutes = [createNodeToken, listNodeTokens, revokeNodeToken];
