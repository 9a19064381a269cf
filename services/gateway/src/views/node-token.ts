import type { api } from "@banyan/contracts";
import type { JoinTokenRow } from "../store/schema.ts";

/** Without a trace of the secret: its hash stays in the database. */
export function nodeTokenView(row: JoinTokenRow): api.NodeToken {
  return {
    id: row.id,
    name: row.name,
    node_id: row.nodeId,
    uses: row.uses,
    uses_left: row.usesLeft,
    created_at: row.createdAt.toISOString(),
    expires_at: row.expiresAt.toISOString(),
  };
}
