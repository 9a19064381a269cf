import type { Fork, LineageSandbox } from "@banyan/contracts";
import type { Database } from "@banyan/db";

const DEPTH_MAX = 1_000;
const PROMOTIONS_MAX = 100;

export type Kin = Omit<LineageSandbox, "promotions">;

/** The first of a sandbox's line whose row is kept, its own included; null where there is no such sandbox. */
export async function findRoot({ sql }: Database, orgId: string, id: string): Promise<string | null> {
  const [root] = await sql<{ id: string }[]>`
    with recursive line as (
      select id, origin->>'parentId' as parent, 1 as depth from sandboxes where id = ${id} and org_id = ${orgId}
      union all
      select sandboxes.id, sandboxes.origin->>'parentId', depth + 1 from sandboxes join line on sandboxes.id = line.parent
      where sandboxes.org_id = ${orgId} and depth < ${DEPTH_MAX}
    )
    select id from line order by depth desc limit 1`;
  return root?.id ?? null;
}

const COLUMNS = `id as "sandboxId", origin->>'parentId' as "parentId", origin->>'forkId' as "forkId", (origin->>'index')::int as index,
  spec->>'name' as name, state, created_at::float8 as "createdAt"`;

export async function readKin({ sql }: Database, orgId: string, id: string): Promise<Kin | null> {
  const [kin] = await sql<Kin[]>`select ${sql.unsafe(COLUMNS)} from sandboxes where id = ${id} and org_id = ${orgId}`;
  return kin ?? null;
}

/** The children of all of these. */
export async function listChildren({ sql }: Database, orgId: string, parentIds: string[], limit: number): Promise<Kin[]> {
  return sql<Kin[]>`
    select ${sql.unsafe(COLUMNS)} from sandboxes
    where origin is not null and origin->>'parentId' in ${sql(parentIds)} and org_id = ${orgId}
    order by id limit ${limit}`;
}

export interface PromotedParent {
  parentId: string;
  childId: string;
  forced: boolean;
  at: number;
}

/** Of each of these the last ones, the last first. */
export async function listPromotions({ sql }: Database, parentIds: string[]): Promise<PromotedParent[]> {
  return sql<PromotedParent[]>`
    select "parentId", "childId", forced, at from (
      select parent_id as "parentId", child_id as "childId", forced, at::float8 as at,
        row_number() over (partition by parent_id order by at desc) as nth
      from promotions where parent_id in ${sql(parentIds)}
    ) as numbered
    where nth <= ${PROMOTIONS_MAX} order by at desc`;
}

export type ForkSummary = Pick<Fork, "state" | "counts"> & { forkId: string; parentId: string | null };

/** The forks of these sandboxes, and those that made them. */
export async function listForksOf(
  { sql }: Database,
  orgId: string,
  { parentIds, forkIds }: { parentIds: string[]; forkIds: string[] },
  limit: number,
): Promise<ForkSummary[]> {
  return sql<ForkSummary[]>`
    select id as "forkId", parent_id as "parentId", state, counts from forks
    where org_id = ${orgId} and (parent_id in ${sql(parentIds)} ${forkIds.length > 0 ? sql`or id in ${sql(forkIds)}` : sql``})
    order by id limit ${limit}`;
}
