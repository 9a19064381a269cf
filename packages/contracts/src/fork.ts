import { idPattern, machine } from "@banyan/kernel";
import { z } from "zod";
import { ImageConfig } from "./image.ts";
import { LIMITS } from "./limits.ts";
import { StackLayer } from "./node.ts";
import { Env, Labels, Lifetime, Name, NetworkPolicy, NodeId, OrgId, Resources, SandboxId, SandboxPath, UserSpec } from "./sandbox.ts";
import { VolumeMounts } from "./volume-mount.ts";

export const ForkId = z.string().regex(idPattern("frk"), "not a fork id");

/** The legal life of a fork. `ending`: its outcome is settled, and what is left of it is being ended and deleted. */
export const forkMachine = machine({
  preparing: { prepared: "running", end: "ending" },
  running: { end: "ending" },
  ending: { done: "done", cancelled: "cancelled", failed: "failed" },
  done: {},
  cancelled: {},
  failed: {},
});
export const FORK_STATES = ["preparing", "running", "ending", "done", "cancelled", "failed"] as const;
export type ForkState = (typeof FORK_STATES)[number];

/**
 * The legal life of a child. Without a command `running` is as far as it comes. `lost`: its node is gone, or its run was interrupted; it waits
 * again where the fork's retries allow. A child that no node could take waits again too, as itself.
 */
export const forkChildMachine = machine({
  waiting: { send: "starting", cancel: "cancelled" },
  starting: { started: "running", refused: "waiting", failed: "failed", lost: "lost", cancel: "cancelled" },
  running: { succeeded: "succeeded", failed: "failed", lost: "lost", cancel: "cancelled" },
  lost: { retry: "waiting", cancel: "cancelled" },
  succeeded: {},
  failed: {},
  cancelled: {},
});
export const FORK_CHILD_STATES = ["waiting", "starting", "running", "succeeded", "failed", "cancelled", "lost"] as const;
export type ForkChildState = (typeof FORK_CHILD_STATES)[number];

/** What each child runs. Its own `each[index]` is added to it. */
export const ForkCommand = z.strictObject({
  argv: z.array(z.string()).min(1).max(LIMITS.argvItems),
  env: Env,
  cwd: SandboxPath.nullable(),
  user: UserSpec.nullable(),
  stdin: z.string().max(LIMITS.forkStdinBytes).nullable(),
  timeoutMs: z.int().min(1).max(LIMITS.execTimeoutMsMax),
  /** Of each of stdout and stderr, in the result; the rest is counted and marked as cut. */
  outputMaxBytes: z.int().min(0).max(LIMITS.forkOutputBytesMax),
  /** The whole of both is also written to `/var/tmp/banyan-fork/stdout` and `stderr` in the child. */
  outputToFiles: z.boolean(),
});
export type ForkCommand = z.infer<typeof ForkCommand>;

/** What one child has of its own. */
export const ForkEach = z.strictObject({
  env: Env.optional(),
  stdin: z.string().max(LIMITS.forkStdinBytes).optional(),
  /** By absolute path; written before the command runs. */
  files: z.record(SandboxPath, z.string().max(LIMITS.forkFileBytes)).optional(),
});
export type ForkEach = z.infer<typeof ForkEach>;

/** all: every child runs to its end. first_success: the first that exits with 0 wins, the others end. best: the last line of stdout is a number. */
export const ForkPolicy = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("all") }),
  z.strictObject({ kind: z.literal("first_success") }),
  z.strictObject({ kind: z.literal("best"), goal: z.enum(["max", "min"]) }),
]);
export type ForkPolicy = z.infer<typeof ForkPolicy>;

/** What a fork is asked to be; complete, with every default filled in by whoever asks. */
export const ForkSpec = z.strictObject({
  count: z.int().min(1).max(LIMITS.forkCountMax),
  /** Children are called `<name>-<index>`. */
  name: Name.max(LIMITS.nameLength - 7).nullable(),
  /** Values may hold `{index}`, `{fork}` and `{count}`. */
  env: Env,
  /** Child i gets value i modulo the list's length, by key. */
  envCycle: z.record(z.string(), z.array(z.string()).min(1).max(10_000)),
  /** Empty, or one for each child. */
  each: z.array(ForkEach).max(LIMITS.forkEachMax),
  labels: Labels,
  /** Null: the source's own. */
  resources: Resources.partial().nullable(),
  network: NetworkPolicy.nullable(),
  lifetime: Lifetime,
  /** Put in place of the source's own at the same path, or beside them. The source's others are carried as they are declared. */
  volumes: VolumeMounts.default([]),
  command: ForkCommand.nullable(),
  policy: ForkPolicy,
  /** What becomes of a child when its command has ended. */
  after: z.enum(["keep", "stop", "delete"]),
  /** What becomes of all but the winner, with a policy that has one. */
  losers: z.enum(["keep", "delete"]),
  /** pack: few nodes, the source's first; spread: as even as can be; auto: wherever slots are free, the source's node first. */
  spread: z.enum(["auto", "pack", "spread"]),
  /** Children starting or running their command at once; without a command, starting. Null: as many as there is room for. */
  maxParallel: z.int().min(1).max(LIMITS.forkCountMax).nullable(),
  /** How often a child whose node was lost is made again elsewhere. */
  retries: z.int().min(0).max(3),
  /** From its creation; then what is unfinished is cancelled. */
  deadlineS: z.int().min(1).max(LIMITS.forkDeadlineSMax),
});
export type ForkSpec = z.infer<typeof ForkSpec>;

/** What is forked: a sandbox in state running or stopped, or an image or snapshot by name or id. */
export const ForkSource = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("sandbox"), sandboxId: SandboxId }),
  z.strictObject({ kind: z.literal("image"), image: z.string().min(1).max(255) }),
]);
export type ForkSource = z.infer<typeof ForkSource>;

export const ForkCounts = z.object({
  total: z.int(),
  waiting: z.int(),
  starting: z.int(),
  running: z.int(),
  succeeded: z.int(),
  failed: z.int(),
  cancelled: z.int(),
  lost: z.int(),
});
export type ForkCounts = z.infer<typeof ForkCounts>;

/** How a sandbox's files were frozen, as in `NodeSnapshot`; `none`: there was nothing to freeze, as with an image. */
export const FreezeWay = z.enum(["none", "stopped", "restack", "copy"]);

/** A fork as its owner knows it. Times are Unix milliseconds. */
export const Fork = z.object({
  id: ForkId,
  orgId: OrgId,
  source: ForkSource,
  /** Without `each`, which may be large. */
  spec: ForkSpec.omit({ each: true }),
  state: z.enum(FORK_STATES),
  /** Why it ended as it did, or what it waits for: `cancelled`, `deadline`, `source_gone`, `no_room`, `quota`, … */
  stateReason: z.string().nullable(),
  /** What children have of the source: `files`, `volumes`. */
  includes: z.array(z.string()),
  freeze: z.object({ way: FreezeWay, pausedMs: z.number(), skipped: z.array(z.string()).max(100) }).nullable(),
  counts: ForkCounts,
  /** There was not room for all at once: they run in waves. */
  inWaves: z.boolean(),
  /** Index of the child that won, with a policy that has one. */
  winner: z.int().nullable(),
  /** Goes up at every change; events are numbered apart from it. */
  version: z.int(),
  createdAt: z.int(),
  startedAt: z.int().nullable(),
  endedAt: z.int().nullable(),
  deadlineAt: z.int(),
});
export type Fork = z.infer<typeof Fork>;

/** How many paths a child added, changed and deleted since the fork, and the bytes of those added and changed. */
export const ChangeSummary = z.object({ added: z.int(), changed: z.int(), deleted: z.int(), bytes: z.int() });
export type ChangeSummary = z.infer<typeof ChangeSummary>;

/** How a child's command ended. Untrusted text: it comes from inside a sandbox. */
export const ForkOutcome = z.object({
  exitCode: z.int().nullable(),
  signal: z.string().nullable(),
  timedOut: z.boolean(),
  /** The kernel killed something of it for memory. Absent in what was written before that was told. */
  oomKilled: z.boolean().optional(),
  durationMs: z.number(),
  stdout: z.string(),
  stderr: z.string(),
  stdoutBytes: z.int(),
  stderrBytes: z.int(),
  /** Null where they could not be counted. */
  changes: ChangeSummary.nullable(),
});
export type ForkOutcome = z.infer<typeof ForkOutcome>;

export const ForkChild = z.object({
  index: z.int().min(0),
  /** Null until it is sent to a node. Another one after a retry. */
  sandboxId: SandboxId.nullable(),
  nodeId: NodeId.nullable(),
  state: z.enum(FORK_CHILD_STATES),
  /** Starts begun so far. */
  attempts: z.int(),
  outcome: ForkOutcome.nullable(),
  /** The number of the policy `best`. */
  score: z.number().nullable(),
  error: z.object({ code: z.string(), message: z.string() }).nullable(),
  /** From the sending of its batch to its start. */
  startMs: z.number().nullable(),
  startedAt: z.int().nullable(),
  endedAt: z.int().nullable(),
});
export type ForkChild = z.infer<typeof ForkChild>;

/** What children stand on, once the source is frozen: the scheduler keeps it with the fork. */
export const ForkBase = z.object({
  /** On the source's node: may hold layers that only it has. */
  layers: z.array(StackLayer).min(1).max(400),
  /** The same for other nodes, once it was shipped. */
  shipped: z.array(StackLayer).max(400).nullable(),
  /** The node that has it without fetching; null: none in particular. */
  nodeId: NodeId.nullable(),
  imageId: z.string(),
  config: ImageConfig,
});
export type ForkBase = z.infer<typeof ForkBase>;
