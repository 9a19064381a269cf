import { z } from "zod";
import { FORK_CHILD_STATES, FORK_STATES, Fork, ForkChild, ForkCounts, ForkId, ForkOutcome, ForkSource, ForkSpec } from "./fork.ts";
import { LIMITS } from "./limits.ts";
import { NodeId, OrgId, SandboxId } from "./sandbox.ts";
import { Quota } from "./scheduler.ts";
import { event, job, rpc } from "./verbs.ts";

const ForkOrder = z.object({ orgId: OrgId, forkId: ForkId, source: ForkSource, spec: ForkSpec, quota: Quota });
const Ref = z.object({ orgId: OrgId, forkId: ForkId });
const FORK_ERRORS = [
  "request.invalid",
  "sandbox.not_found",
  "sandbox.illegal_transition",
  "image.not_found",
  "image.not_ready",
  "sandbox.quota_exceeded",
  "fork.too_many",
  "volume.not_found",
  "volume.version_not_found",
  "volume.not_ready",
  "node.unreachable",
  "database.unavailable",
] as const;

/** Written down, then worked off: the answer does not wait for children. The id is made by the caller, so that a repeated call finds the first one's fork. */
export const CreateFork = rpc("scheduler", "fork.create", {
  input: ForkOrder,
  output: z.object({ fork: Fork }),
  deadlineMs: 20_000,
  errors: FORK_ERRORS,
});

/** The same for whoever publishes bursts straight on the bus and waits for nobody: what it says is checked like any input. */
export const RunFork = job("scheduler", "fork.run", { input: ForkOrder, ackWaitMs: 30_000, deliveriesMax: 20 });

export const GetFork = rpc("scheduler", "fork.get", {
  input: Ref,
  output: z.object({ fork: Fork }),
  deadlineMs: 5_000,
  errors: ["fork.not_found", "database.unavailable"],
});

export const ListForks = rpc("scheduler", "fork.list", {
  input: z.object({ orgId: OrgId, sandboxId: SandboxId.nullable(), cursor: ForkId.nullable(), limit: z.int().min(1).max(LIMITS.pageSize) }),
  output: z.object({ forks: z.array(Fork), nextCursor: ForkId.nullable() }),
  deadlineMs: 5_000,
  errors: ["database.unavailable"],
});

/**
 * In the order of indices, after `after` (-1: from the first). Those not sent yet are listed too, as `waiting`. Fewer than `limit` where more would
 * not fit into a message; `nextAfter` tells where to go on.
 */
export const ListForkChildren = rpc("scheduler", "fork.children", {
  input: Ref.extend({
    after: z.int().min(-1),
    limit: z.int().min(1).max(LIMITS.forkChildrenPage),
    states: z.array(z.enum(FORK_CHILD_STATES)).max(FORK_CHILD_STATES.length),
  }),
  output: z.object({ children: z.array(ForkChild).max(LIMITS.forkChildrenPage), nextAfter: z.int().nullable() }),
  deadlineMs: 10_000,
  errors: ["fork.not_found", "database.unavailable"],
});

/** Unfinished children end; with `deleteChildren` all are deleted, of a fork that has ended before too. Else nothing happens to one that has ended. */
export const CancelFork = rpc("scheduler", "fork.cancel", {
  input: Ref.extend({ deleteChildren: z.boolean() }),
  output: z.object({ fork: Fork }),
  deadlineMs: 15_000,
  errors: ["fork.not_found", "database.unavailable"],
});

/** What happens in a fork, numbered from 1 without gaps, kept after its end. A child's change is told once, in a batch with others. */
export const ForkEvent = z.object({
  seq: z.int().min(1),
  at: z.int(),
  event: z.discriminatedUnion("kind", [
    z.object({ kind: z.literal("state"), state: z.enum(FORK_STATES), reason: z.string().nullable() }),
    z.object({
      kind: z.literal("children"),
      counts: ForkCounts,
      children: z
        .array(
          z.object({
            index: z.int(),
            sandboxId: SandboxId.nullable(),
            state: z.enum(FORK_CHILD_STATES),
            exitCode: z.int().nullable(),
            score: z.number().nullable(),
          }),
        )
        .max(LIMITS.forkBatchMax),
    }),
  ]),
});
export type ForkEvent = z.infer<typeof ForkEvent>;

/**
 * The events after `after`, fewer than `limit` where more would not fit into a message; where there are none yet, waits up to `waitMs` for one.
 * `ended`: no more will come after these.
 */
export const ReadForkEvents = rpc("scheduler", "fork.events", {
  input: Ref.extend({ after: z.int().min(0), limit: z.int().min(1).max(LIMITS.forkEventsPage), waitMs: z.int().min(0).max(10_000) }),
  output: z.object({ events: z.array(ForkEvent).max(LIMITS.forkEventsPage), ended: z.boolean() }),
  deadlineMs: 15_000,
  errors: ["fork.not_found", "database.unavailable"],
});

/** A fork has ended; for whoever published it straight on the bus. */
export const ForkEnded = event(
  "fork",
  "ended",
  z.object({
    forkId: ForkId,
    orgId: OrgId,
    state: z.enum(FORK_STATES),
    reason: z.string().nullable(),
    counts: ForkCounts,
    winner: z.int().nullable(),
    at: z.int(),
  }),
);

/** How commands of children ended, said by their node at least once each; `sandbox` is what the node has made of it by the fork's `after`. */
export const ForkChildrenFinished = event(
  "fork",
  "finished",
  z.object({
    forkId: ForkId,
    nodeId: NodeId,
    children: z
      .array(
        z.object({
          index: z.int().min(0),
          sandboxId: SandboxId,
          epoch: z.int(),
          /** Null: it was interrupted, and nobody knows how it would have ended. */
          outcome: ForkOutcome.nullable(),
          sandbox: z.enum(["running", "stopped", "deleted"]),
          at: z.int(),
        }),
      )
      .min(1)
      .max(LIMITS.forkFinishedBatchMax),
  }),
);

/**
 * The parent goes on from the child's files: same id, same addresses, a new run where it ran. `force`: also where its own files have changed since
 * the fork, which are lost then.
 */
export const PromoteSandbox = rpc("scheduler", "sandbox.promote", {
  input: z.object({ orgId: OrgId, id: SandboxId, force: z.boolean() }),
  output: z.object({ parentId: SandboxId, childId: SandboxId, state: z.enum(["running", "stopped"]), epoch: z.int() }),
  deadlineMs: 120_000,
  errors: [
    "sandbox.not_found",
    "sandbox.illegal_transition",
    "sandbox.version_conflict",
    "sandbox.start_failed",
    "fork.no_parent",
    "fork.parent_changed",
    "snapshot.failed",
    "node.unreachable",
    "node.none_available",
    "node.no_slot",
    "database.unavailable",
  ],
});

/** One sandbox of a tree of forks. A deleted one is listed while its row is kept. */
export const LineageSandbox = z.object({
  sandboxId: SandboxId,
  parentId: SandboxId.nullable(),
  forkId: ForkId.nullable(),
  index: z.int().nullable(),
  name: z.string().nullable(),
  state: z.string(),
  createdAt: z.int(),
  /** Whose files it took over, the last first. */
  promotions: z.array(z.object({ childId: SandboxId, at: z.int(), forced: z.boolean() })).max(100),
});
export type LineageSandbox = z.infer<typeof LineageSandbox>;

/** The whole tree that a sandbox belongs to, from its root, by breadth; `truncated`: it is larger than one answer. */
export const GetLineage = rpc("scheduler", "sandbox.lineage", {
  input: z.object({ orgId: OrgId, id: SandboxId }),
  output: z.object({
    rootId: SandboxId,
    sandboxes: z.array(LineageSandbox).max(LIMITS.lineageMax),
    forks: z
      .array(z.object({ forkId: ForkId, parentId: SandboxId.nullable(), state: z.enum(FORK_STATES), counts: ForkCounts }))
      .max(LIMITS.lineageMax),
    truncated: z.boolean(),
  }),
  deadlineMs: 10_000,
  errors: ["sandbox.not_found", "database.unavailable"],
});
