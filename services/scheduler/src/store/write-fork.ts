import type { Lifetime, SandboxSpec } from "@banyan/contracts";
import type { Database } from "@banyan/db";
import type { ForkRow } from "../domain/fork.ts";
import type { ForkChildren } from "../domain/fork-children.ts";
import type { ForkWrite, SandboxEnd } from "../domain/fork-steps.ts";
import type { Stack } from "../domain/sandbox.ts";
import { jsonOrNull } from "./fork-rows.ts";

/** Rows that are on their way out because of their fork: their node is asked right after, and the loop goes on with it from then on. */
const DELETING_DEADLINE_MS = 10_000;

export type Written = { kind: "written"; ended: { id: string; to: SandboxEnd["to"] }[] } | { kind: "overtaken" };

/**
 * One write of a fork in one statement: its row, its children's, their sandboxes', its events. Fenced by the fork's version; `writeId` tells whether
 * a write whose acknowledgement was lost was done. Of starts and ends in bulk the fork's events tell: no audit row, no event each.
 */
export async function writeFork(
  { sql }: Database,
  write: ForkWrite,
  { row, children }: { row: ForkRow; children: ForkChildren },
  writeId: string,
): Promise<Written> {
  const { head, forkId, at } = write;
  if (head === null) return { kind: "written", ended: [] };
  const shared = sharedOf(row, children);
  const rows = await sql<{ id: string | null; to: SandboxEnd["to"] | null }[]>`
    with fenced as (
      update forks set
        state = ${head.state}, state_reason = ${head.stateReason}, ends_as = ${head.endsAs}, deletes_all = ${head.deletesAll},
        rest_state = ${head.restState}, rest_error = ${jsonOrNull(head.restError)}::text::jsonb, in_waves = ${head.inWaves},
        winner = ${head.winner}, counts = ${JSON.stringify(head.counts)}::text::jsonb, event_seq = ${head.eventSeq},
        base = coalesce(${write.baseChanged ? jsonOrNull(head.base) : null}::text::jsonb, base),
        frozen_how = coalesce(${write.baseChanged ? jsonOrNull(head.freeze) : null}::text::jsonb, frozen_how),
        started_at = ${head.startedAt}, ended_at = ${head.endedAt}, version = ${write.version}, write_id = ${writeId}
      where id = ${forkId} and version = ${write.fromVersion}
      returning id
    ), kids as (
      insert into fork_children
        (fork_id, index, sandbox_id, node_id, state, attempts, failures, losses, score, error, outcome, start_ms, started_at, ended_at)
      select fenced.id, k.index, k."sandboxId", k."nodeId", k.state, k.attempts, k.failures, k.losses, k.score, k.error, k.outcome, k."startMs",
        k."startedAt", k."endedAt"
      from fenced, json_to_recordset(${JSON.stringify(write.children)}::text::json) as k
        (index integer, "sandboxId" text, "nodeId" text, state text, attempts integer, failures integer, losses integer, score float8,
          error jsonb, outcome jsonb, "startMs" float8, "startedAt" bigint, "endedAt" bigint)
      on conflict (fork_id, index) do update set
        sandbox_id = excluded.sandbox_id, node_id = excluded.node_id, state = excluded.state, attempts = excluded.attempts,
        failures = excluded.failures, losses = excluded.losses, score = excluded.score, error = excluded.error,
        outcome = coalesce(excluded.outcome, fork_children.outcome), start_ms = excluded.start_ms, started_at = excluded.started_at,
        ended_at = excluded.ended_at
    ), made as (
      insert into sandboxes
        (id, org_id, spec, labels, stack, origin, has_disk, state, state_reason, node_id, epoch, version, created_at, started_at, stopped_at,
          last_active_at, expires_at, deadline_at, updated_at)
      select m.id, ${row.orgId},
        ${JSON.stringify(shared.spec)}::text::jsonb || jsonb_build_object('name', m.name, 'env', ${JSON.stringify(children.sharedEnv)}::text::jsonb || m.env),
        ${JSON.stringify(row.spec.labels)}::text::jsonb,
        case when m.local then ${JSON.stringify(shared.local)}::text::jsonb else ${JSON.stringify(shared.shipped)}::text::jsonb end,
        jsonb_build_object('forkId', fenced.id, 'index', m.index, 'parentId', ${row.template.parentId}::text),
        true, m.state, m.reason, m.node, 1, 1, m.at, m.at, case when m.state in ('stopped', 'failed') then ${at}::bigint end,
        m.at, m.at + ${lifetimeMs(row.spec.lifetime)}::bigint, case when m.state = 'deleting' then ${at + DELETING_DEADLINE_MS}::bigint end, ${at}
      from fenced, json_to_recordset(${JSON.stringify(madeRows(write, row, children))}::text::json) as m
        (id text, index integer, node text, local boolean, name text, env jsonb, state text, reason text, at bigint)
      on conflict (id) do nothing
    ), ended as (
      update sandboxes s set
        state = e."to", state_reason = coalesce(e.reason, s.state_reason), version = s.version + 1, updated_at = ${at},
        stopped_at = case when e."to" = 'stopped' then ${at}::bigint else s.stopped_at end,
        deadline_at = case when e."to" = 'deleting' then ${at + DELETING_DEADLINE_MS}::bigint end
      from fenced, json_to_recordset(${JSON.stringify(write.ended)}::text::json) as e ("sandboxId" text, "to" text, reason text)
      where s.id = e."sandboxId" and case e."to"
        when 'stopped' then s.state = 'running' and s.epoch = 1
        when 'failed' then s.state = 'running' and s.epoch = 1
        when 'deleting' then s.state not in ('deleting', 'deleted')
        else s.state <> 'deleted' end
      returning s.id, s.state as "to"
    ), told as (
      insert into fork_events (fork_id, seq, at, event)
      select fenced.id, t.seq, t.at, t.event
      from fenced, json_to_recordset(${JSON.stringify(write.events)}::text::json) as t (seq integer, at bigint, event jsonb)
    )
    select null as id, null as "to" from fenced union all select id, "to" from ended`;
  if (rows.length > 0) return { kind: "written", ended: rows.flatMap(({ id, to }) => (id === null || to === null ? [] : [{ id, to }])) };
  const [now] = await sql<{ write_id: string }[]>`select write_id from forks where id = ${forkId}`;
  return now?.write_id === writeId
    ? { kind: "written", ended: write.ended.map(({ sandboxId: id, to }) => ({ id, to })) }
    : { kind: "overtaken" };
}

const lifetimeMs = ({ maxLifetimeS }: Lifetime): number | null => (maxLifetimeS === null ? null : maxLifetimeS * 1_000);

/** What the rows of all children's sandboxes share. */
function sharedOf(row: ForkRow, children: ForkChildren) {
  const { template, spec, base } = row;
  const { workdir, user, network, resources, volumes } = template;
  const common: Omit<SandboxSpec, "name" | "env" | "labels"> = {
    image: template.image,
    resources,
    hostname: null,
    workdir,
    user,
    network,
    lifetime: spec.lifetime,
    volumes,
  };
  const stackOf = (layers: Stack["layers"]): Stack | null => base && { imageId: base.imageId, layers, config: base.config };
  return { spec: common, local: stackOf(base?.layers ?? []), shipped: stackOf(children.layers("")) };
}

function madeRows(write: ForkWrite, { base }: ForkRow, children: ForkChildren): unknown[] {
  return write.made.map(({ sandboxId: id, index, nodeId: node, state, reason, startedAt: at }) => {
    const { name, env } = children.own(index);
    return { id, index, node, local: node === base?.nodeId, name, env, state, reason, at };
  });
}
