import type { Database } from "@banyan/db";

/** Of an unknown node: nothing happens. */
export async function removeNodeWish({ sql }: Database, nodeId: string): Promise<void> {
  await sql`delete from nodes where node_id = ${nodeId}`;
}
