import { z } from "zod";
import { LayerRef } from "./image.ts";
import { Env, NetworkPolicy, NodeId, OrgId, Resources, SandboxId, SandboxPath, StartPath, StartTiming, UserSpec } from "./sandbox.ts";
import { event, nodeRpc } from "./verbs.ts";

export const NODE_ACTIVITY_MAX = 2_000;
export const NODE_PAGE_MAX = 500;

const Amounts = z.object({ cpu: z.number(), memoryMb: z.number(), diskMb: z.number(), sandboxes: z.int() });

/** What a node says of itself every second, kept in NATS KV under a lease: no heartbeat for `NODE_LEASE_MS` and the node counts as gone. */
export const NodeHeartbeat = z.object({
  nodeId: NodeId,
  /** Base address of its data plane, as seen from the gateway. */
  url: z.url(),
  version: z.string(),
  labels: z.record(z.string(), z.string()),
  /** When this process of the agent started, Unix ms: tells a restart from a pause. */
  startedAt: z.int(),
  /** ready: takes sandboxes; joining: still adopting what it had; leaving: takes no more. */
  state: z.enum(["joining", "ready", "leaving"]),
  /** What it is willing to promise in all, over-commitment included. */
  capacity: Amounts,
  /** What running sandboxes (and, of disk, stopped ones too) hold of it. */
  used: Amounts,
  pool: z.object({ target: z.int(), free: z.int(), starting: z.int(), waiting: z.int() }),
  /** Last activity of sandboxes since the heartbeat before, Unix ms. */
  activity: z.array(z.object({ sandboxId: SandboxId, at: z.int() })).max(NODE_ACTIVITY_MAX),
  at: z.int(),
});
export type NodeHeartbeat = z.infer<typeof NodeHeartbeat>;

export const NODES_BUCKET = "nodes";
export const NODE_HEARTBEAT_MS = 1_000;
export const NODE_LEASE_MS = 10_000;

export const NodeView = NodeHeartbeat.omit({ activity: true }).extend({ reachable: z.boolean() });
export type NodeView = z.infer<typeof NodeView>;

/** Everything a node needs to run a sandbox. `fresh`: its disk is made now; else it must be there. */
export const StartOrder = z.object({
  sandboxId: SandboxId,
  orgId: OrgId,
  epoch: z.int(),
  fresh: z.boolean(),
  /** Bottom first. */
  layers: z.array(LayerRef).min(1).max(400),
  env: Env,
  workdir: SandboxPath,
  user: UserSpec,
  hostname: z.string(),
  resources: Resources,
  network: NetworkPolicy,
  /** How long it may wait for a slot. */
  deadlineMs: z.int(),
});
export type StartOrder = z.infer<typeof StartOrder>;

export const StartRefusal = z.enum(["no_slot", "capacity", "leaving", "joining", "no_disk", "stale_epoch", "deleted"]);
export const NodeStart = nodeRpc("sandbox.start", {
  input: StartOrder,
  /** Starting again with the epoch that runs already answers like the first time. */
  output: z.discriminatedUnion("kind", [
    z.object({ kind: z.literal("started"), path: StartPath, timing: StartTiming.omit({ placeMs: true }) }),
    z.object({ kind: z.literal("refused"), reason: StartRefusal, retryAfterMs: z.int() }),
  ]),
  deadlineMs: 30_000,
  errors: ["layer.unavailable", "sandbox.start_failed"],
});

/** Ends its processes, gives up the slot, keeps the disk. With `idleSinceMs` only if nothing happened in it since. */
export const NodeStop = nodeRpc("sandbox.stop", {
  input: z.object({ sandboxId: SandboxId, epoch: z.int(), graceMs: z.int(), idleSince: z.int().nullable() }),
  output: z.object({ outcome: z.enum(["stopped", "active", "absent"]) }),
  deadlineMs: 75_000,
  errors: ["sandbox.stale_epoch"],
});

/** Ends it and removes its disk. Absent is success; a start with this or an older epoch that comes later is refused. */
export const NodeDelete = nodeRpc("sandbox.delete", {
  input: z.object({ sandboxId: SandboxId, epoch: z.int() }),
  output: z.object({}),
  deadlineMs: 20_000,
  errors: ["sandbox.stale_epoch"],
});

/**
 * Freezes a sandbox's files into a layer, ships what the blob store lacks, and answers the whole stack. The sandbox goes on. `way`: `stopped`, nothing
 * ran; `restack`, the upper became the layer; `copy`, the upper was copied while its processes stood still for `pausedMs`.
 */
export const NodeSnapshot = nodeRpc("sandbox.snapshot", {
  input: z.object({ sandboxId: SandboxId, epoch: z.int(), layers: z.array(LayerRef).min(1).max(400) }),
  output: z.object({
    layers: z.array(LayerRef).min(1).max(400),
    way: z.enum(["stopped", "restack", "copy"]),
    pausedMs: z.number(),
    /** Sockets and the like, which no layer can hold; at most 100 are named. */
    skipped: z.array(z.string()).max(100),
  }),
  deadlineMs: 600_000,
  errors: ["sandbox.stale_epoch", "sandbox.not_found", "snapshot.failed"],
});

export const NodeSandbox = z.object({
  sandboxId: SandboxId,
  orgId: OrgId,
  epoch: z.int(),
  state: z.enum(["running", "stopped"]),
  lastActiveAt: z.int(),
});
export const NodeListSandboxes = nodeRpc("sandbox.list", {
  input: z.object({ cursor: SandboxId.nullable() }),
  output: z.object({ sandboxes: z.array(NodeSandbox).max(NODE_PAGE_MAX), nextCursor: SandboxId.nullable() }),
  deadlineMs: 5_000,
  errors: [],
});

/** The slot of a running sandbox ended by itself: its PID 1 died or Docker lost it. The disk is kept. */
export const SandboxDied = event(
  "sandbox",
  "died",
  z.object({ sandboxId: SandboxId, nodeId: NodeId, epoch: z.int(), reason: z.string(), at: z.int() }),
);
