import type { Database } from "@banyan/db";
import type { NodeWish } from "../memory/nodes.ts";

export async function saveNodeWish({ sql }: Database, nodeId: string, { cordoned, draining }: NodeWish, now: number): Promise<void> {
  await sql`
    insert into nodes (node_id, cordoned, draining, updated_at) values (${nodeId}, ${cordoned}, ${draining}, ${now})
    on conflict (node_id) do update set cordoned = excluded.cordoned, draining = excluded.draining, updated_at = excluded.updated_at`;
}
