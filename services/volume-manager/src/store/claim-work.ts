import { type Database, translate } from "@banyan/db";
import { type SQL, sql } from "drizzle-orm";

export type WorkTable = "volumes" | "versions";

export interface Claim {
  table: WorkTable;
  /** Of these states. */
  states: readonly string[];
  /** Only this one. Null: whichever has waited longest. */
  id: string | null;
  isCopy: boolean | null;
  /** The store of directories that is reached here: what lies in another one is left to who reaches that. Null: none is. */
  store: string | null;
  holder: string;
  now: number;
  leaseMs: number;
  limit: number;
  /** Of what is under way of these states, in this lane, for one organisation. Null: unbounded. */
  perOrgMax: number | null;
}

const ANY = sql`true`;

/** Takes what nobody works on and is due: the ids, each for one try more. */
export async function claimWork(db: Database, claim: Claim): Promise<string[]> {
  const { table, states, id, isCopy, store, holder, now, leaseMs, limit, perOrgMax } = claim;
  if (limit <= 0) return [];
  const name = sql.identifier(table);
  const at = new Date(now).toISOString();
  const only: SQL = id === null ? ANY : sql`id = ${id}`;
  const lane: SQL = isCopy === null ? ANY : sql`is_copy = ${isCopy}`;
  const here =
    store === null
      ? ANY
      : sql`${table === "volumes" ? sql`id` : sql`volume_id`} not in (
    select v.id from volumes v where v.backend = 'directory' and v.store <> ${store} and v.state <> 'deleted')`;
  const inStates = sql.join(
    states.map((state) => sql`${state}`),
    sql`, `,
  );
  const fair =
    perOrgMax === null
      ? ANY
      : sql`org_id not in (
    select org_id from (
      select org_id, state, is_copy, lease_until from volumes union all select org_id, state, is_copy, lease_until from versions) under_way
    where state in (${inStates}) and lease_until >= ${at} and ${lane} group by org_id having count(*) >= ${perOrgMax})`;
  const rows = await translate(async () =>
    db.orm.execute<{ id: string }>(sql`
      update ${name} set attempts = attempts + 1, holder = ${holder}, lease_until = ${new Date(now + leaseMs).toISOString()}
      where id in (
        select id from ${name}
        where state in (${inStates}) and due_at <= ${at} and (lease_until is null or lease_until < ${at}) and ${only} and ${lane} and ${here} and ${fair}
        order by due_at limit ${limit} for update skip locked)
      returning id`),
  );
  return rows.map((row) => row.id);
}
