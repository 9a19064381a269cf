import type { Database } from "@banyan/db";
import type { NodeWish } from "../memory/nodes.ts";

export async function listNodeWishes({ sql }: Database): Promise<(NodeWish & { nodeId: string })[]> {
  return sql<(NodeWish & { nodeId: string })[]>`select node_id as "nodeId", cordoned, draining from nodes`;
}
