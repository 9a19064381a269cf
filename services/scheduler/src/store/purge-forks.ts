import type { Database } from "@banyan/db";

/**
 * Removes forks that ended before then, with all that was written of them: a batch of children and events each time, the fork itself when none is
 * left. True: there is more.
 */
export async function purgeForks({ sql }: Database, endedBefore: number, limit: number): Promise<boolean> {
  const [due] = await sql<{ id: string }[]>`select id from forks where ended_at < ${endedBefore} order by ended_at limit 1`;
  if (due === undefined) return false;
  const children = await sql`
    delete from fork_children where fork_id = ${due.id}
      and index in (select index from fork_children where fork_id = ${due.id} order by index limit ${limit})`;
  const events = await sql`
    delete from fork_events where fork_id = ${due.id}
      and seq in (select seq from fork_events where fork_id = ${due.id} order by seq limit ${limit})`;
  if (children.count < limit && events.count < limit) await sql`delete from forks where id = ${due.id}`;
  return true;
}
