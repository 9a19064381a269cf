import type { SandboxState } from "@banyan/contracts";
import type { Database } from "@banyan/db";

/** What names this node and could be lost with it, or waits for it to delete something; after this id. */
export async function listOnNode(
  { sql }: Database,
  nodeId: string,
  after: string,
  limit: number,
): Promise<{ id: string; state: SandboxState }[]> {
  return sql<{ id: string; state: SandboxState }[]>`
    select id, state from sandboxes
    where node_id = ${nodeId} and state not in ('deleted', 'failed') and id > ${after}
    order by id limit ${limit}`;
}
