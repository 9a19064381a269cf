import type { Fork, ForkBase, ForkCounts, ForkEach, ForkSource, ForkState, Quota } from "@banyan/contracts";
import type { ChildError, ForkRow, ForkTemplate, Freeze, RestState } from "../domain/fork.ts";

/** A row of `forks` as the driver answers it: of whole numbers beyond 32 bits it makes text, so times are asked for as floats. */
export interface StoredFork {
  id: string;
  org_id: string;
  source: ForkSource;
  spec: Fork["spec"];
  each?: ForkEach[];
  quota: Quota;
  template: ForkTemplate;
  frozen_id: string | null;
  base: ForkBase | null;
  frozen_how: Freeze | null;
  state: ForkState;
  state_reason: string | null;
  ends_as: ForkRow["endsAs"];
  deletes_all: boolean;
  counts: ForkCounts;
  rest_state: RestState;
  rest_error: ChildError | null;
  in_waves: boolean;
  winner: number | null;
  version: number;
  write_id: string;
  event_seq: number;
  created_at: number;
  started_at: number | null;
  ended_at: number | null;
  deadline_at: number;
}

/** All columns but `each`, which may be large and is wanted only by whoever makes children. */
export const FORK_COLUMNS = `
  id, org_id, source, spec, quota, template, frozen_id, base, frozen_how, state, state_reason, ends_as, deletes_all, counts, rest_state, rest_error,
  in_waves, winner, version, write_id, event_seq,
  created_at::float8, started_at::float8, ended_at::float8, deadline_at::float8`;

export function forkFromRow(row: StoredFork): ForkRow {
  return {
    id: row.id,
    orgId: row.org_id,
    source: row.source,
    // Absent in what was written before there were volumes.
    spec: { ...row.spec, volumes: row.spec.volumes ?? [] },
    each: row.each ?? [],
    quota: row.quota,
    template: { ...row.template, volumes: row.template.volumes ?? [] },
    frozenId: row.frozen_id,
    base: row.base,
    freeze: row.frozen_how,
    state: row.state,
    stateReason: row.state_reason,
    endsAs: row.ends_as,
    deletesAll: row.deletes_all,
    counts: row.counts,
    restState: row.rest_state,
    restError: row.rest_error,
    inWaves: row.in_waves,
    winner: row.winner,
    version: row.version,
    writeId: row.write_id,
    eventSeq: row.event_seq,
    createdAt: row.created_at,
    startedAt: row.started_at,
    endedAt: row.ended_at,
    deadlineAt: row.deadline_at,
  };
}

/** JSON for a parameter, or SQL's null. */
export const jsonOrNull = (value: unknown): string | null => (value === null || value === undefined ? null : JSON.stringify(value));
