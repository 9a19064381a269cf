import type { Database } from "@banyan/db";

export interface WithDisk {
  id: string;
  orgId: string;
  nodeId: string;
}

/** Stopped before then, with a disk, after this id. */
export async function listWithDisk({ sql }: Database, stoppedBefore: number, after: string, limit: number): Promise<WithDisk[]> {
  return sql<WithDisk[]>`
    select id, org_id as "orgId", node_id as "nodeId" from sandboxes
    where state = 'stopped' and has_disk and stopped_at < ${stoppedBefore} and id > ${after}
    order by id limit ${limit}`;
}
