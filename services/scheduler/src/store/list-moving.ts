import type { Database } from "@banyan/db";
import { MOVING } from "../domain/moving.ts";

export interface Moving {
  id: string;
  orgId: string;
  /** Null: it has left its node. */
  nodeId: string | null;
}

/** What was stopped since then only to go on, the longest waiting first. */
export async function listMoving({ sql }: Database, stoppedSince: number, limit: number): Promise<Moving[]> {
  return sql<Moving[]>`
    select id, org_id as "orgId", node_id as "nodeId" from sandboxes
    where state = 'stopped' and state_reason = ${MOVING} and stopped_at >= ${stoppedSince}
    order by stopped_at limit ${limit}`;
}
