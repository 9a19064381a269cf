import type { ForkChild, ForkChildState } from "@banyan/contracts";
import type { Database } from "@banyan/db";
import type { ForkRow, LoadedChild } from "../domain/fork.ts";

interface Page {
  after: number;
  limit: number;
  states: readonly ForkChildState[];
}

/** In the order of indices; those without a row are as the fork says of the rest. One more than a page tells whether there is another. */
export async function listForkChildren({ sql }: Database, fork: ForkRow, { after, limit, states }: Page): Promise<ForkChild[]> {
  return sql<ForkChild[]>`
    select i as index, c.sandbox_id as "sandboxId", c.node_id as "nodeId", coalesce(c.state, ${fork.restState}) as state,
      coalesce(c.attempts, 0) as attempts, c.outcome, c.score,
      case when c.state is null then ${JSON.stringify(fork.restError)}::text::jsonb else c.error end as error,
      c.start_ms as "startMs", c.started_at::float8 as "startedAt", c.ended_at::float8 as "endedAt"
    from generate_series(${after + 1}::integer, ${fork.spec.count - 1}::integer) as i
    left join fork_children c on c.fork_id = ${fork.id} and c.index = i
    where ${states.length === 0}::boolean or ${JSON.stringify(states)}::text::jsonb ? coalesce(c.state, ${fork.restState})
    order by i limit ${limit + 1}`;
}

/** Rows of one page when a fork is taken up. */
export const LOADED_PAGE = 5_000;

/** What the book needs of a fork's children, with the states of their sandboxes. */
export async function loadForkChildren({ sql }: Database, forkId: string, after: number): Promise<LoadedChild[]> {
  return sql<LoadedChild[]>`
    select c.index, c.sandbox_id as "sandboxId", c.node_id as "nodeId", c.state, c.attempts, c.failures, c.losses, c.score, c.error,
      c.start_ms as "startMs", c.started_at::float8 as "startedAt", c.ended_at::float8 as "endedAt", s.state as "sandboxState"
    from fork_children c left join sandboxes s on s.id = c.sandbox_id
    where c.fork_id = ${forkId} and c.index > ${after}
    order by c.index limit ${LOADED_PAGE}`;
}
