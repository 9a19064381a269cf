import type { ForkEvent } from "@banyan/contracts";
import type { Database } from "@banyan/db";

export async function readForkEvents({ sql }: Database, forkId: string, after: number, limit: number): Promise<ForkEvent[]> {
  return sql<ForkEvent[]>`
    select seq, at::float8, event from fork_events where fork_id = ${forkId} and seq > ${after} order by seq limit ${limit}`;
}
