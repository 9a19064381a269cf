import { z } from "zod";
import { Image, ImageId } from "./image.ts";
import { Digest, ImageName, ReadyCheck } from "./image-spec.ts";
import { LIMITS } from "./limits.ts";
import { NodeView } from "./node.ts";
import {
  Labels,
  Lifetime,
  NodeId,
  OrgId,
  SANDBOX_STATES,
  SandboxId,
  SandboxRecord,
  SandboxRoute,
  SandboxSpec,
  StartPath,
  StartTiming,
} from "./sandbox.ts";
import { event, rpc } from "./verbs.ts";
import { VolumeUser } from "./volume.ts";
import { MountPath, VersionId, VolumeId, VolumeMount } from "./volume-mount.ts";

/** What an organisation may hold at once. Stopped sandboxes count as sandboxes but hold neither cpu nor memory. */
export const Quota = z.object({ sandboxes: z.int().min(0), cpu: z.number().min(0), memoryMb: z.int().min(0) });
export type Quota = z.infer<typeof Quota>;

const Ref = z.object({ orgId: OrgId, id: SandboxId });
const Started = z.object({
  sandbox: SandboxRecord,
  route: SandboxRoute,
  path: StartPath,
  timing: StartTiming,
  /** What its image has whoever started it do next: run this, and wait for that. */
  image: z.object({ id: ImageId, entrypoint: z.array(z.string()), ready: ReadyCheck.nullable().default(null) }),
});
/** Of whatever changes the state of a sandbox that is there. */
const MOVE_ERRORS = ["sandbox.not_found", "sandbox.illegal_transition", "sandbox.version_conflict"] as const;
/** Of whatever keeps a sandbox's files as layers. */
const FREEZE_ERRORS = [...MOVE_ERRORS, "snapshot.failed", "layer.unavailable", "node.unreachable", "database.unavailable"] as const;
const MOUNT_ERRORS = [
  "volume.not_found",
  "volume.version_not_found",
  "volume.not_ready",
  "volume.unreachable",
  "volume.mount_failed",
  "volume.subpath_not_found",
  "mount.refused",
] as const;
const START_ERRORS = [
  "image.not_found",
  "image.not_ready",
  "layer.unavailable",
  "node.none_available",
  "node.none_fits",
  "node.no_slot",
  "node.unreachable",
  "sandbox.start_failed",
  "sandbox.quota_exceeded",
  ...MOUNT_ERRORS,
  "database.unavailable",
] as const;

/** The id is made by the caller, so that a repeated call finds the first one's sandbox. */
export const CreateSandbox = rpc("scheduler", "sandbox.create", {
  input: Ref.extend({
    spec: SandboxSpec,
    quota: Quota,
    deadlineMs: z.int().min(1).max(LIMITS.createDeadlineMsMax),
    /** Amounts the caller did not state: the image's own go before those of `spec.resources`. */
    leftToImage: z.array(z.enum(["cpu", "memoryMb", "diskMb"])).optional(),
  }),
  output: Started,
  deadlineMs: 30_000,
  errors: START_ERRORS,
});

export const StartSandbox = rpc("scheduler", "sandbox.start", {
  input: Ref.extend({ quota: Quota, deadlineMs: z.int().min(1).max(LIMITS.createDeadlineMsMax) }),
  output: Started,
  deadlineMs: 30_000,
  errors: [...START_ERRORS, ...MOVE_ERRORS],
});

export const StopSandbox = rpc("scheduler", "sandbox.stop", {
  input: Ref.extend({ graceMs: z.int().min(0).max(60_000) }),
  output: z.object({ sandbox: SandboxRecord }),
  deadlineMs: 75_000,
  errors: [...MOVE_ERRORS, "node.unreachable", "database.unavailable"],
});

/** Legal in every state; a second delete answers like the first. `deleting` while the node does not answer: the loop goes on. */
export const DeleteSandbox = rpc("scheduler", "sandbox.delete", {
  input: Ref,
  output: z.object({ state: z.enum(["deleting", "deleted"]) }),
  deadlineMs: 30_000,
  errors: ["sandbox.not_found", "database.unavailable"],
});

export const GetSandbox = rpc("scheduler", "sandbox.get", {
  input: Ref,
  output: z.object({ sandbox: SandboxRecord }),
  deadlineMs: 5_000,
  errors: ["sandbox.not_found", "database.unavailable"],
});

export const ListSandboxes = rpc("scheduler", "sandbox.list", {
  input: z.object({
    orgId: OrgId,
    labels: Labels,
    states: z.array(z.enum(SANDBOX_STATES)).max(SANDBOX_STATES.length),
    /** The last id of the page before; newest first. */
    cursor: SandboxId.nullable(),
    limit: z.int().min(1).max(LIMITS.pageSize),
  }),
  output: z.object({ sandboxes: z.array(SandboxRecord), nextCursor: SandboxId.nullable() }),
  deadlineMs: 5_000,
  errors: ["database.unavailable"],
});

/** A label set to null is removed; those not named stay. */
export const UpdateSandbox = rpc("scheduler", "sandbox.update", {
  input: Ref.extend({ labels: z.record(z.string(), z.string().nullable()).optional(), lifetime: Lifetime.partial().optional() }),
  output: z.object({ sandbox: SandboxRecord }),
  deadlineMs: 5_000,
  errors: ["request.invalid", "sandbox.not_found", "sandbox.version_conflict", "database.unavailable"],
});

/** Where a running sandbox is. Asked when the gateway's own memory of it is missing or stale. */
export const RouteSandbox = rpc("scheduler", "sandbox.route", {
  /** `stopped`: also where it only lies, for what needs its files alone. */
  input: Ref.extend({ stopped: z.boolean().optional() }),
  output: SandboxRoute,
  deadlineMs: 5_000,
  errors: ["sandbox.not_found", "sandbox.not_running", "node.unreachable", "database.unavailable"],
});

/** An image of a running or stopped sandbox. The id is made by the caller, so that a repeated call finds the first one's image. */
export const SnapshotSandbox = rpc("scheduler", "sandbox.snapshot", {
  input: Ref.extend({ imageId: ImageId, name: ImageName.nullable() }),
  output: z.object({ image: Image, way: z.enum(["stopped", "restack", "copy"]), pausedMs: z.number(), skipped: z.array(z.string()) }),
  deadlineMs: 600_000,
  errors: [...FREEZE_ERRORS, "request.invalid"],
});

/** Which sandboxes, in any state but deleted, stand on these layers: who asks is about to delete them. At most 100 are named. */
export const ListLayerUsers = rpc("scheduler", "layer.users", {
  input: z.object({ imageId: ImageId.nullable(), digests: z.array(Digest).max(1_000) }),
  output: z.object({ sandboxIds: z.array(SandboxId).max(100), count: z.int(), usedDigests: z.array(Digest).max(1_000) }),
  deadlineMs: 10_000,
  errors: ["database.unavailable"],
});

export const GetUsage = rpc("scheduler", "usage.get", {
  input: z.object({ orgId: OrgId }),
  output: z.object({ usage: Quota }),
  deadlineMs: 5_000,
  errors: ["database.unavailable"],
});

/** cordon: it takes no new sandboxes; uncordon: it does again. */
export const CordonNode = rpc("scheduler", "node.cordon", {
  input: z.object({ nodeId: NodeId, cordoned: z.boolean() }),
  output: z.object({ node: NodeView }),
  deadlineMs: 5_000,
  errors: ["node.not_found", "database.unavailable"],
});

/**
 * Cordons a node and empties it: each sandbox is stopped, its files go to the blob store, and one that ran is started on another node (`move`) or
 * stays stopped (`stop`). Goes on after the answer; repeated calls tell how far it has come.
 */
export const DrainNode = rpc("scheduler", "node.drain", {
  input: z.object({ nodeId: NodeId, mode: z.enum(["move", "stop"]) }),
  output: z.object({ node: NodeView, left: z.int(), failed: z.array(z.object({ sandboxId: SandboxId, reason: z.string() })).max(100) }),
  deadlineMs: 10_000,
  errors: ["node.not_found", "node.unreachable", "database.unavailable"],
});

/** Forgets a node that holds nothing any more; `force`: also one that is gone for good, whose sandboxes become failed. */
export const RemoveNode = rpc("scheduler", "node.remove", {
  input: z.object({ nodeId: NodeId, force: z.boolean() }),
  output: z.object({ lost: z.int() }),
  deadlineMs: 15_000,
  errors: ["node.not_found", "node.in_use", "database.unavailable"],
});

/** Puts a stopped sandbox's files into the blob store and gives up its disk: it can be started on any node then. */
export const ArchiveSandbox = rpc("scheduler", "sandbox.archive", {
  input: Ref,
  output: z.object({ sandbox: SandboxRecord }),
  deadlineMs: 600_000,
  errors: FREEZE_ERRORS,
});

export const ListNodes = rpc("scheduler", "node.list", {
  input: z.object({}),
  output: z.object({ nodes: z.array(NodeView) }),
  deadlineMs: 5_000,
  errors: [],
});

/** A sandbox changed its state; said by the scheduler from its outbox. */
export const SandboxChanged = event(
  "sandbox",
  "changed",
  z.object({
    sandboxId: SandboxId,
    orgId: OrgId,
    nodeId: NodeId.nullable(),
    epoch: z.int(),
    from: z.enum(SANDBOX_STATES).nullable(),
    to: z.enum(SANDBOX_STATES),
    reason: z.string().nullable(),
    at: z.int(),
  }),
);

/** Into a running sandbox at once; into a stopped one at its next start. */
export const MountVolume = rpc("scheduler", "sandbox.mount", {
  input: Ref.extend({ mount: VolumeMount }),
  output: z.object({ sandbox: SandboxRecord }),
  deadlineMs: 45_000,
  errors: ["request.invalid", ...MOVE_ERRORS, ...MOUNT_ERRORS, "mount.exists", "node.unreachable", "database.unavailable"],
});

export const UnmountVolume = rpc("scheduler", "sandbox.unmount", {
  input: Ref.extend({ path: MountPath, force: z.boolean() }),
  output: z.object({ sandbox: SandboxRecord }),
  deadlineMs: 45_000,
  errors: [...MOVE_ERRORS, "mount.not_found", "mount.busy", "volume.mount_failed", "node.unreachable", "database.unavailable"],
});

/**
 * Which sandboxes, in any state but deleted, and unfinished forks have this volume (or only this version of it) among their mounts: a user for each
 * mount, those that neither stopped nor failed first. `forks` are counted in `total` and not named.
 */
export const ListVolumeUsers = rpc("scheduler", "volume.users", {
  input: z.object({ volumeId: VolumeId, versionId: VersionId.nullable() }),
  output: z.object({ users: z.array(VolumeUser).max(100), forks: z.int().default(0), total: z.int() }),
  deadlineMs: 10_000,
  errors: ["database.unavailable"],
});
