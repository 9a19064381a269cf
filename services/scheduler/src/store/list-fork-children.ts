import type { ForkChild, ForkChildState } from "@banyan/contracts";
import type { Database } from "@banyan/db";
import type { ForkRow, LoadedChild } from "../domain/fork.ts";

interface Page {
  after: number;
  limit: number;
  states: readonly ForkChildState[];
}

/** Of outcomes in one page, beyond its first child's: they come from inside sandboxes, and a message has a bound. */
const PAGE_BYTES_MAX = 512 * 1024;

/**
 * In the order of indices; those without a row are as the fork says of the rest. At most `limit`, fewer where they are large, and at least one if
 * there is one; `more`: they are not all.
 */
export async function listForkChildren(
  { sql }: Database,
  fork: ForkRow,
  { after, limit, states }: Page,
): Promise<{ children: ForkChild[]; more: boolean }> {
  const rows = await sql<(ForkChild & { bytes: number })[]>`
    select index, "sandboxId", "nodeId", state, attempts, score, error, "startMs", "startedAt", "endedAt", before::float8 as bytes,
      case when before < ${PAGE_BYTES_MAX} then outcome end as outcome
    from (
      select i as index, c.sandbox_id as "sandboxId", c.node_id as "nodeId", coalesce(c.state, ${fork.restState}) as state,
        coalesce(c.attempts, 0) as attempts, c.outcome, c.score,
        case when c.state is null then ${JSON.stringify(fork.restError)}::text::jsonb else c.error end as error,
        c.start_ms as "startMs", c.started_at::float8 as "startedAt", c.ended_at::float8 as "endedAt",
        coalesce(sum(pg_column_size(c.outcome)) over (order by i rows between unbounded preceding and 1 preceding), 0) as before
      from generate_series(${after + 1}::integer, ${fork.spec.count - 1}::integer) as i
      left join fork_children c on c.fork_id = ${fork.id} and c.index = i
      where ${states.length === 0}::boolean or ${JSON.stringify(states)}::text::jsonb ? coalesce(c.state, ${fork.restState})
      order by i limit ${limit + 1}
    ) as page
    order by index`;
  const fit = rows.filter(({ bytes }) => bytes < PAGE_BYTES_MAX).slice(0, limit);
  return { children: fit.map(({ bytes: _bytes, ...child }) => child), more: rows.length > fit.length };
}

/** Rows of one page when a fork is taken up. */
export const LOADED_PAGE = 5_000;

/** What the book needs of a fork's children, with the states of their sandboxes. */
export async function loadForkChildren({ sql }: Database, forkId: string, after: number): Promise<LoadedChild[]> {
  return sql<LoadedChild[]>`
    select c.index, c.sandbox_id as "sandboxId", c.node_id as "nodeId", c.state, c.attempts, c.failures, c.losses, c.score, c.error,
      c.start_ms as "startMs", c.started_at::float8 as "startedAt", c.ended_at::float8 as "endedAt", s.state as "sandboxState",
      s.state_reason as "sandboxReason"
    from fork_children c left join sandboxes s on s.id = c.sandbox_id
    where c.fork_id = ${forkId} and c.index > ${after}
    order by c.index limit ${LOADED_PAGE}`;
}
