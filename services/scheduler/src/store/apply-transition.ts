import type { Database } from "@banyan/db";
import type { Changed, Promotion } from "../domain/decide.ts";
import type { Sandbox } from "../domain/sandbox.ts";

/**
 * The new state, its audit row, its event and its promotion, in one statement and round trip. False where the row is no longer as `before`:
 * another incarnation, or changed since it was read.
 */
export async function applyTransition(
  { sql }: Database,
  before: Sandbox,
  next: Sandbox,
  event: Changed | null,
  promotion: Promotion | null = null,
): Promise<boolean> {
  const stack = next.stack === before.stack ? null : JSON.stringify(next.stack);
  const launch = next.launch === null ? null : JSON.stringify(next.launch);
  const changed = await sql`
    with changed as (
      update sandboxes set
        state = ${next.state}, state_reason = ${next.stateReason}, node_id = ${next.nodeId}, epoch = ${next.epoch}, has_disk = ${next.hasDisk}, version = ${next.version},
        stack = coalesce(${stack}::text::jsonb, stack), launch = ${launch}::text::jsonb, started_at = ${next.startedAt}, stopped_at = ${next.stoppedAt},
        last_active_at = greatest(last_active_at, ${next.lastActiveAt}), deadline_at = ${next.deadlineAt}, updated_at = ${next.updatedAt}
      where id = ${before.id} and epoch = ${before.epoch} and version = ${before.version}
      returning id, version, epoch, state, state_reason, node_id, updated_at
    ), audited as (
      insert into transitions (sandbox_id, version, epoch, from_state, to_state, reason, node_id, at)
      select id, version, epoch, ${before.state}::text, state, state_reason, node_id, updated_at from changed
    ), said as (
      insert into outbox (sandbox_id, version, event)
      select id, version, ${event === null ? null : JSON.stringify(event)}::text::jsonb from changed where ${event !== null}::boolean
    ), promoted as (
      insert into promotions (parent_id, child_id, forced, at)
      select id, ${promotion?.childId ?? null}, ${promotion?.forced ?? false}::boolean, updated_at from changed where ${promotion !== null}::boolean
    )
    select id from changed`;
  return changed.length > 0;
}
