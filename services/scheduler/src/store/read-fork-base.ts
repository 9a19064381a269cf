import type { ForkBase } from "@banyan/contracts";
import type { Database } from "@banyan/db";

/** What the children of a fork stand on; null: it is not known yet, or no more. */
export async function readForkBase({ sql }: Database, forkId: string): Promise<ForkBase | null> {
  const [row] = await sql<{ base: ForkBase | null }[]>`select base from forks where id = ${forkId}`;
  return row?.base ?? null;
}
