import type { Database } from "@banyan/db";
import type { ForkRow } from "../domain/fork.ts";
import { jsonOrNull } from "./fork-rows.ts";

/** False where a fork of this id exists. */
export async function insertFork({ sql }: Database, fork: ForkRow): Promise<boolean> {
  const parentId = fork.source.kind === "sandbox" ? fork.source.sandboxId : null;
  const inserted = await sql`
    with inserted as (
      insert into forks
        (id, org_id, parent_id, source, spec, each, quota, template, frozen_id, base, frozen_how, state, state_reason, ends_as, deletes_all, counts,
          rest_state, rest_error, in_waves, winner, version, write_id, event_seq, created_at, started_at, ended_at, deadline_at)
      values (${fork.id}, ${fork.orgId}, ${parentId}, ${JSON.stringify(fork.source)}::text::jsonb, ${JSON.stringify(fork.spec)}::text::jsonb,
        ${JSON.stringify(fork.each)}::text::jsonb, ${JSON.stringify(fork.quota)}::text::jsonb, ${JSON.stringify(fork.template)}::text::jsonb,
        ${fork.frozenId}, ${jsonOrNull(fork.base)}::text::jsonb, ${jsonOrNull(fork.freeze)}::text::jsonb, ${fork.state}, ${fork.stateReason},
        ${fork.endsAs}, ${fork.deletesAll}, ${JSON.stringify(fork.counts)}::text::jsonb, ${fork.restState}, ${jsonOrNull(fork.restError)}::text::jsonb,
        ${fork.inWaves}, ${fork.winner}, ${fork.version}, ${fork.writeId}, ${fork.eventSeq}, ${fork.createdAt}, ${fork.startedAt}, ${fork.endedAt},
        ${fork.deadlineAt})
      on conflict (id) do nothing
      returning id, created_at, state
    ), told as (
      insert into fork_events (fork_id, seq, at, event)
      select id, ${fork.eventSeq}::integer, created_at, jsonb_build_object('kind', 'state', 'state', state, 'reason', null) from inserted
    )
    select id from inserted`;
  return inserted.length > 0;
}
