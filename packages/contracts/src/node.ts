import { idPattern } from "@banyan/kernel";
import { z } from "zod";
import { LayerRef } from "./image.ts";
import { Digest } from "./image-spec.ts";
import { LIMITS } from "./limits.ts";
import { Env, NetworkPolicy, NodeId, OrgId, Resources, SandboxId, SandboxPath, StartPath, StartTiming, UserSpec } from "./sandbox.ts";
import { event, nodeRpc } from "./verbs.ts";
import { MountOrder, MountOrders } from "./volume.ts";
import { MountPath, StoreId } from "./volume-mount.ts";

export const NODE_ACTIVITY_MAX = 2_000;
export const NODE_PAGE_MAX = 500;
export const NODE_LAYERS_SAID_MAX = 256;

export const FrozenId = z.string().regex(idPattern("frz"), "not the id of a frozen layer");
/** A layer that has no digest yet: a sandbox's files as they were frozen, on the one node that has them. */
const FrozenDigest = z.string().regex(/^frozen:frz_[0-9a-hjkmnp-tv-z]{26}$/, "not a frozen layer");
/** One layer of a sandbox's stack, on its own node. Images and other nodes know only digests. */
export const StackLayer = z.object({ digest: z.union([Digest, FrozenDigest]), sizeBytes: z.int() });
export type StackLayer = z.infer<typeof StackLayer>;
export const isFrozen = (digest: string): boolean => digest.startsWith("frozen:");

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
  /** The layers used last: the first 16 hexadecimal digits of each digest. */
  layers: z
    .array(z.string().regex(/^[0-9a-f]{16}$/))
    .max(NODE_LAYERS_SAID_MAX)
    .default([]),
  /** The volume stores it knows, and whether it reaches them. A volume is mounted only where its store is `ok`. */
  stores: z
    .array(
      z.object({
        store: StoreId,
        kind: z.enum(["directory", "object"]),
        state: z.enum(["ok", "lost"]),
        reason: z.string().max(500).nullable(),
      }),
    )
    .max(16)
    .default([]),
  /** Last activity of sandboxes since the heartbeat before, Unix ms. */
  activity: z.array(z.object({ sandboxId: SandboxId, at: z.int() })).max(NODE_ACTIVITY_MAX),
  at: z.int(),
});
export type NodeHeartbeat = z.infer<typeof NodeHeartbeat>;

export const NODES_BUCKET = "nodes";
export const NODE_HEARTBEAT_MS = 1_000;
export const NODE_LEASE_MS = 10_000;

/** `cordoned` is the operator's wish, kept by the scheduler; `drain` how far an emptying has come. */
export const NodeView = NodeHeartbeat.omit({ activity: true, layers: true }).extend({
  reachable: z.boolean(),
  cordoned: z.boolean(),
  draining: z.enum(["move", "stop"]).nullable(),
});
export type NodeView = z.infer<typeof NodeView>;

/** Everything a node needs to run a sandbox. `fresh`: its disk is made now, in place of one that is there; else it must be there. */
export const StartOrder = z.object({
  sandboxId: SandboxId,
  orgId: OrgId,
  epoch: z.int(),
  fresh: z.boolean(),
  /** Bottom first. */
  layers: z.array(StackLayer).min(1).max(400),
  env: Env,
  workdir: SandboxPath,
  user: UserSpec,
  hostname: z.string(),
  resources: Resources,
  network: NetworkPolicy,
  mounts: MountOrders.default([]),
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
  errors: [
    "layer.unavailable",
    "sandbox.start_failed",
    "volume.unreachable",
    "volume.mount_failed",
    "volume.subpath_not_found",
    "volume.not_found",
    "mount.refused",
  ],
});

/** Mounts a volume into a running sandbox. The same mount at the same path again is success; another one there is `mount.exists`. */
export const NodeMount = nodeRpc("sandbox.mount", {
  input: z.object({ sandboxId: SandboxId, epoch: z.int(), mount: MountOrder }),
  output: z.object({}),
  deadlineMs: 30_000,
  errors: [
    "sandbox.stale_epoch",
    "sandbox.not_found",
    "volume.unreachable",
    "volume.mount_failed",
    "volume.subpath_not_found",
    "volume.not_found",
    "mount.refused",
    "mount.exists",
  ],
});

/** Nothing there is success. Without `force` refused while processes use it; with it, what they have open stays theirs until they close it. */
export const NodeUnmount = nodeRpc("sandbox.unmount", {
  input: z.object({ sandboxId: SandboxId, epoch: z.int(), path: MountPath, force: z.boolean() }),
  output: z.object({}),
  deadlineMs: 30_000,
  errors: ["sandbox.stale_epoch", "sandbox.not_found", "mount.busy", "volume.mount_failed"],
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
  input: z.object({ sandboxId: SandboxId, epoch: z.int(), layers: z.array(StackLayer).min(1).max(400) }),
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

/**
 * Freezes a sandbox's files into a layer that this node can stack at once, and keeps it until then and for as long as a sandbox here stands on it.
 * The same `frozenId` again answers like the first time.
 */
export const NodeFreeze = nodeRpc("sandbox.freeze", {
  input: z.object({ sandboxId: SandboxId, epoch: z.int(), frozenId: FrozenId, keepUntil: z.int() }),
  output: z.object({ layer: StackLayer, way: z.enum(["stopped", "restack", "copy"]), pausedMs: z.number() }),
  deadlineMs: 60_000,
  errors: ["sandbox.stale_epoch", "sandbox.not_found", "snapshot.failed"],
});

/** Puts into the blob store what it lacks of a stack, packing frozen layers once, and answers the stack by digests; a deep one as a single layer. */
export const NodeShip = nodeRpc("layer.ship", {
  input: z.object({ layers: z.array(StackLayer).min(1).max(400) }),
  output: z.object({ layers: z.array(LayerRef).min(1).max(400), skipped: z.array(z.string()).max(100) }),
  deadlineMs: 600_000,
  errors: ["layer.unavailable", "snapshot.failed"],
});

/** Nobody will start on these any more: each goes when the last sandbox that stands on it has. Unknown is success. */
export const NodeRelease = nodeRpc("layer.release", {
  input: z.object({ frozenIds: z.array(FrozenId).max(100) }),
  output: z.object({}),
  deadlineMs: 10_000,
  errors: [],
});

/** Whether a sandbox's files are still as they were frozen, or as they were shipped then, and which are not (at most 100 are named). */
export const NodeCompare = nodeRpc("sandbox.compare", {
  input: z.object({ sandboxId: SandboxId, epoch: z.int(), frozen: StackLayer.shape.digest }),
  output: z.object({ changed: z.array(z.string()).max(100), count: z.int() }),
  deadlineMs: 60_000,
  errors: ["sandbox.stale_epoch", "sandbox.not_found", "layer.unavailable", "diff.failed"],
});

/** What a child of a fork runs, and what becomes of it afterwards. The node says how it ended by `ForkChildrenFinished`. */
export const ChildCommand = z.object({
  argv: z.array(z.string()).min(1).max(LIMITS.argvItems),
  env: Env,
  cwd: SandboxPath.nullable(),
  user: UserSpec.nullable(),
  stdin: z.string().nullable(),
  timeoutMs: z.int().min(1),
  outputMaxBytes: z.int().min(0),
  outputToFiles: z.boolean(),
  after: z.enum(["keep", "stop", "delete"]),
});
export type ChildCommand = z.infer<typeof ChildCommand>;

/** One message for many sandboxes that differ little: children of one fork. Their disks are made fresh. */
export const StartManyOrder = z.object({
  forkId: z.string().regex(idPattern("frk")),
  orgId: OrgId,
  layers: z.array(StackLayer).min(1).max(400),
  env: Env,
  workdir: SandboxPath,
  user: UserSpec,
  resources: Resources,
  network: NetworkPolicy,
  mounts: MountOrders.default([]),
  command: ChildCommand.nullable(),
  /** How long each may wait for a slot. */
  deadlineMs: z.int(),
  children: z
    .array(
      z.object({
        index: z.int().min(0),
        sandboxId: SandboxId,
        epoch: z.int(),
        hostname: z.string(),
        /** Added to the shared ones. */
        env: Env,
        stdin: z.string().optional(),
        files: z.record(SandboxPath, z.string()).optional(),
      }),
    )
    .min(1)
    .max(LIMITS.forkBatchMax),
});
export type StartManyOrder = z.infer<typeof StartManyOrder>;

export const NodeStartMany = nodeRpc("sandbox.start-many", {
  input: StartManyOrder,
  /** In the order of the children. Sent again, those that run already are answered like the first time, no command runs twice, and what was refused or failed stays so. */
  output: z.object({
    children: z
      .array(
        z.discriminatedUnion("kind", [
          z.object({ kind: z.literal("started"), path: StartPath, totalMs: z.number() }),
          z.object({ kind: z.literal("refused"), reason: StartRefusal, retryAfterMs: z.int() }),
          z.object({ kind: z.literal("failed"), code: z.string(), message: z.string() }),
        ]),
      )
      .max(LIMITS.forkBatchMax),
  }),
  deadlineMs: 60_000,
  errors: ["layer.unavailable"],
});

/** Like NodeDelete for many. Those of a later epoch stay, and are named. */
export const NodeDeleteMany = nodeRpc("sandbox.delete-many", {
  input: z.object({
    sandboxes: z
      .array(z.object({ sandboxId: SandboxId, epoch: z.int() }))
      .min(1)
      .max(LIMITS.forkBatchMax),
  }),
  output: z.object({ stale: z.array(SandboxId).max(LIMITS.forkBatchMax) }),
  deadlineMs: 60_000,
  errors: [],
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
