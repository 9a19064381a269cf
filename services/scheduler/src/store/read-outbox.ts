import type { Database } from "@banyan/db";
import type { Changed } from "../domain/decide.ts";

export interface Said {
  seq: number;
  sandboxId: string;
  version: number;
  event: Changed;
}

/** Asked every second: that keeps a connection open for the writes of a create, which somebody waits for. */
export async function readOutbox({ sql }: Database, limit: number): Promise<Said[]> {
  return sql<Said[]>`select seq::float8, sandbox_id as "sandboxId", version, event from outbox order by outbox.seq limit ${limit}`;
}
