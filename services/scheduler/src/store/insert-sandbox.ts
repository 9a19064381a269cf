import type { Database } from "@banyan/db";
import { changedEvent } from "../domain/decide.ts";
import type { Sandbox } from "../domain/sandbox.ts";

/** The row, its first transition and its event in one round trip. False where a row of this id exists. */
export async function insertSandbox({ sql }: Database, sandbox: Sandbox): Promise<boolean> {
  const { id, orgId, stack, origin, state, nodeId, epoch, version, createdAt: at, lastActiveAt, expiresAt, deadlineAt } = sandbox;
  const { labels, ...spec } = sandbox.spec;
  const inserted = await sql`
    with inserted as (
      insert into sandboxes
        (id, org_id, spec, labels, stack, origin, has_disk, state, node_id, epoch, version, created_at, last_active_at, expires_at, deadline_at, updated_at)
      values (${id}, ${orgId}, ${JSON.stringify(spec)}::text::jsonb, ${JSON.stringify(labels)}::text::jsonb, ${JSON.stringify(stack)}::text::jsonb, ${origin === null ? null : JSON.stringify(origin)}::text::jsonb, ${sandbox.hasDisk}, ${state}, ${nodeId}, ${epoch}, ${version},
        ${at}, ${lastActiveAt}, ${expiresAt}, ${deadlineAt}, ${at})
      on conflict (id) do nothing
      returning id, version, epoch, state, node_id, created_at
    ), audited as (
      insert into transitions (sandbox_id, version, epoch, from_state, to_state, node_id, at)
      select id, version, epoch, null, state, node_id, created_at from inserted
    ), said as (
      insert into outbox (sandbox_id, version, event) select id, version, ${JSON.stringify(changedEvent(sandbox, null))}::text::jsonb from inserted
    )
    select id from inserted`;
  return inserted.length > 0;
}
