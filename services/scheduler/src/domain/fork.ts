import type {
  Fork,
  ForkBase,
  ForkChild,
  ForkChildState,
  ForkCounts,
  ForkEach,
  ForkOutcome,
  ForkSource,
  ForkSpec,
  ForkState,
  NetworkPolicy,
  Quota,
  Resources,
  SandboxState,
  VolumeMount,
} from "@banyan/contracts";

export type Freeze = NonNullable<Fork["freeze"]>;
export type ChildError = NonNullable<ForkChild["error"]>;

/** What children have of their source, as it was when the fork was asked for. Nothing of its name, labels, lifetime or tokens. */
export interface ForkTemplate {
  /** The source's name of its image. */
  image: string;
  parentId: string | null;
  env: Record<string, string>;
  workdir: string | null;
  user: string | null;
  network: NetworkPolicy;
  resources: Resources;
  /** The source's and the fork's own, with ids. */
  volumes: VolumeMount[];
}

/** The whole row of a fork. */
export interface ForkRow {
  id: string;
  orgId: string;
  source: ForkSource;
  spec: Omit<ForkSpec, "each">;
  each: ForkEach[];
  quota: Quota;
  template: ForkTemplate;
  /** The name of what is frozen for it, chosen before it is frozen: asked for twice, it is the same layer. Null: nothing has to be frozen. */
  frozenId: string | null;
  /** Null until the source is frozen. */
  base: ForkBase | null;
  freeze: Freeze | null;
  state: ForkState;
  stateReason: string | null;
  /** What it becomes when the state `ending` is over, and whether all children are deleted on the way. */
  endsAs: "done" | "cancelled" | "failed" | null;
  deletesAll: boolean;
  counts: ForkCounts;
  /** The state of the children that have no row, because they were never planned. */
  restState: RestState;
  restError: ChildError | null;
  inWaves: boolean;
  winner: number | null;
  version: number;
  /** Names the last write: whether one whose acknowledgement was lost was done. */
  writeId: string;
  /** The number of the last event. */
  eventSeq: number;
  createdAt: number;
  startedAt: number | null;
  endedAt: number | null;
  deadlineAt: number;
}
export type RestState = "waiting" | "cancelled" | "failed";

/** A child as it is written; only those that were ever planned have a row. */
export interface ChildRow {
  index: number;
  sandboxId: string | null;
  nodeId: string | null;
  state: ForkChildState;
  attempts: number;
  /** Starts that failed on their node, and runs that were lost. */
  failures: number;
  losses: number;
  score: number | null;
  error: ChildError | null;
  startMs: number | null;
  startedAt: number | null;
  endedAt: number | null;
}

/** A row as the book takes it up again: with the state of its sandbox and why it is in it, null where that has no row. */
export interface LoadedChild extends ChildRow {
  sandboxState: SandboxState | null;
  sandboxReason: string | null;
}

/** A child's row as a write changes it. `outcome` undefined: as it was. */
export interface ChildChange extends ChildRow {
  outcome?: ForkOutcome;
}

export const NO_COUNTS: ForkCounts = { total: 0, waiting: 0, starting: 0, running: 0, succeeded: 0, failed: 0, cancelled: 0, lost: 0 };

/** Where every fork begins: written down, and nothing has happened yet. */
export const beginningOf = ({ count, deadlineS }: Pick<ForkSpec, "count" | "deadlineS">, now: number) =>
  ({
    state: "preparing",
    stateReason: null,
    endsAs: null,
    deletesAll: false,
    counts: { ...NO_COUNTS, total: count, waiting: count },
    restState: "waiting",
    restError: null,
    inWaves: false,
    winner: null,
    version: 1,
    writeId: "",
    eventSeq: 1,
    createdAt: now,
    startedAt: null,
    endedAt: null,
    deadlineAt: now + deadlineS * 1_000,
  }) satisfies Partial<ForkRow>;

export const hasEnded = (state: ForkState): boolean => state === "done" || state === "cancelled" || state === "failed";

/** What others may know of a fork. */
export function forkOf(row: ForkRow): Fork {
  const { id, orgId, source, spec, state, stateReason, freeze, counts, inWaves, winner, version, createdAt, startedAt, endedAt } = row;
  const includes = row.template.volumes.length > 0 ? ["files", "volumes"] : ["files"];
  const { deadlineAt } = row;
  return {
    id,
    orgId,
    source,
    spec,
    state,
    stateReason,
    includes,
    freeze,
    counts,
    inWaves,
    winner,
    version,
    createdAt,
    startedAt,
    endedAt,
    deadlineAt,
  };
}
