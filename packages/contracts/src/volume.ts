import { createHash } from "node:crypto";
import { idPattern, machine } from "@banyan/kernel";
import { z } from "zod";
import { LIMITS } from "./limits.ts";
import { Labels, Name, OrgId, SANDBOX_STATES, SandboxId } from "./sandbox.ts";
import { event, rpc } from "./verbs.ts";
import { MountMode, StoreId, SubPath, VersionId, VolumeId, VolumeMount } from "./volume-mount.ts";

/** The legal life of a volume. `creating`: the copy that it is made from is under way; `restoring`: its content is put back to a version. */
export const volumeMachine = machine({
  creating: { created: "ready", failed: "failed", delete: "deleting" },
  ready: { restore: "restoring", delete: "deleting" },
  restoring: { restored: "ready", failed: "failed", delete: "deleting" },
  failed: { restore: "restoring", delete: "deleting" },
  deleting: { deleted: "deleted" },
  deleted: {},
});
export const VOLUME_STATES = ["creating", "ready", "restoring", "failed", "deleting", "deleted"] as const;
export type VolumeState = (typeof VOLUME_STATES)[number];

/** The legal life of a version: immutable from `ready` on. */
export const versionMachine = machine({
  creating: { created: "ready", failed: "failed", delete: "deleting" },
  ready: { delete: "deleting" },
  failed: { delete: "deleting" },
  deleting: { deleted: "deleted" },
  deleted: {},
});
export const VERSION_STATES = ["creating", "ready", "failed", "deleting", "deleted"] as const;
export type VersionState = (typeof VERSION_STATES)[number];

/**
 * Types of rclone that reach a store over the network and nothing of the host. `options` and `secrets` may hold only what `REMOTE_OPTIONS` of the
 * volume-manager's domain lists for the type: many options of rclone read files or run commands of the host.
 */
export const REMOTE_TYPES = ["s3", "azureblob", "b2", "swift", "webdav", "sftp"] as const;
const OptionName = z.string().regex(/^[a-z][a-z0-9_]{0,62}$/, "lower-case letters, digits and _");
const OptionValue = z
  .string()
  .max(4_096)
  .regex(/^[^\p{Cc}]*$/u, "no control characters");
const Options = z.record(OptionName, OptionValue).refine((options) => Object.keys(options).length <= 32, "at most 32 options");

/** Where an `object` volume lies. Secrets are sealed before they are written down, and never answered. */
export const Remote = z.strictObject({
  type: z.enum(REMOTE_TYPES),
  /** Bucket or container, and a prefix where only a part is wanted: `bucket/prefix`. */
  path: z
    .string()
    .max(1_024)
    .regex(/^(?!\/)(?!.*(^|\/)\.\.?(\/|$))[^\p{Cc}]*$/u, "relative, without `.` and `..`"),
  options: Options.default({}),
  secrets: Options.default({}),
});
export type Remote = z.infer<typeof Remote>;

/** directory: a path present on every node. object: a store that rclone mounts on the node, read-mostly. */
export const VolumeBackend = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("directory") }),
  z.strictObject({ kind: z.literal("object"), remote: Remote }),
]);
export type VolumeBackend = z.infer<typeof VolumeBackend>;
export const BACKEND_KINDS = ["directory", "object"] as const;

/** As of `measuredAt`, Unix ms; null where it was never measured or the backend cannot tell. */
export const VolumeUsage = z.object({ bytes: z.int().nullable(), files: z.int().nullable(), measuredAt: z.int().nullable() });

/** Times are Unix milliseconds. */
export const Volume = z.object({
  id: VolumeId,
  orgId: OrgId,
  name: Name.nullable(),
  labels: Labels,
  state: z.enum(VOLUME_STATES),
  /** Why it is in this state, where that is not obvious: the error of a copy. */
  stateReason: z.string().nullable(),
  backend: z.discriminatedUnion("kind", [
    z.object({ kind: z.literal("directory"), store: StoreId }),
    /** Without its secrets. */
    z.object({ kind: z.literal("object"), remote: Remote.omit({ secrets: true }) }),
  ]),
  /** Null: as much as its store holds. */
  quotaMb: z.int().nullable(),
  /** kernel: a write beyond the quota fails wherever it comes from. upload: only uploads are refused; what sandboxes write is measured and told. */
  quotaEnforcedBy: z.enum(["kernel", "upload", "none"]),
  usage: VolumeUsage,
  /** The volume and version that it was forked from. */
  origin: z.object({ volumeId: VolumeId, versionId: VersionId.nullable() }).nullable(),
  /** Share of the copy that is done, 0 to 1, while it is `creating` or `restoring`. */
  progress: z.number().nullable(),
  /** Goes up at every change of the row. */
  version: z.int(),
  createdAt: z.int(),
  updatedAt: z.int(),
});
export type Volume = z.infer<typeof Volume>;

/** An immutable state of a volume's content. */
export const VolumeVersion = z.object({
  id: VersionId,
  volumeId: VolumeId,
  name: Name.nullable(),
  state: z.enum(VERSION_STATES),
  stateReason: z.string().nullable(),
  usage: VolumeUsage,
  progress: z.number().nullable(),
  createdAt: z.int(),
});
export type VolumeVersion = z.infer<typeof VolumeVersion>;

/** A sandbox that has a volume among its mounts, running or not. `versionId` null: not a version of it, but its content as it is. */
export const VolumeUser = z.object({
  sandboxId: SandboxId,
  state: z.enum(SANDBOX_STATES),
  path: z.string(),
  mode: MountMode,
  versionId: VersionId.nullable().default(null),
  /** It has failed because its node is away, and may go on there. */
  mayRun: z.boolean().optional(),
});
export type VolumeUser = z.infer<typeof VolumeUser>;

/** A name or an id. */
const VolumeRef = z.string().min(1).max(255);
const Ref = z.object({ orgId: OrgId, volume: VolumeRef });
const VersionRef = Ref.extend({ versionId: z.string().min(1).max(255) });
const READ_ERRORS = ["volume.not_found", "database.unavailable"] as const;

/** The id is made by the caller, so that a repeated call finds the first one's volume. `from`: a fork of another volume, or of a version of it. */
export const CreateVolume = rpc("volume-manager", "volume.create", {
  input: z.object({
    orgId: OrgId,
    volumeId: VolumeId,
    name: Name.nullable(),
    labels: Labels,
    quotaMb: z.int().min(1).max(LIMITS.volumeQuotaMbMax).nullable(),
    backend: VolumeBackend,
    from: z.object({ volume: VolumeRef, versionId: z.string().min(1).max(255).nullable() }).nullable(),
  }),
  output: z.object({ volume: Volume }),
  deadlineMs: 15_000,
  errors: [
    "request.invalid",
    "volume.not_found",
    "volume.not_ready",
    "volume.name_taken",
    "volume.too_many",
    "volume.unsupported",
    "volume.unreachable",
    "database.unavailable",
  ],
});

export const GetVolume = rpc("volume-manager", "volume.get", {
  input: Ref,
  output: z.object({ volume: Volume }),
  deadlineMs: 5_000,
  errors: READ_ERRORS,
});

export const ListVolumes = rpc("volume-manager", "volume.list", {
  input: z.object({ orgId: OrgId, labels: Labels, cursor: VolumeId.nullable(), limit: z.int().min(1).max(LIMITS.pageSize) }),
  output: z.object({ volumes: z.array(Volume), nextCursor: VolumeId.nullable() }),
  deadlineMs: 5_000,
  errors: ["database.unavailable"],
});

/** A label set to null is removed; those not named stay. A quota below what is used already is taken: nothing more can be written then. */
export const UpdateVolume = rpc("volume-manager", "volume.update", {
  input: Ref.extend({
    name: Name.nullable().optional(),
    labels: z.record(z.string(), z.string().nullable()).optional(),
    quotaMb: z.int().min(1).max(LIMITS.volumeQuotaMbMax).nullable().optional(),
  }),
  output: z.object({ volume: Volume }),
  deadlineMs: 15_000,
  errors: ["request.invalid", "volume.not_found", "volume.not_ready", "volume.name_taken", "database.unavailable"],
});

/**
 * Refused while sandboxes have it among their mounts: `details.used_by` says which. `force`: also where only stopped ones have it, which cannot be
 * started any more then. Goes on after the answer; a second delete answers like the first.
 */
export const DeleteVolume = rpc("volume-manager", "volume.delete", {
  input: Ref.extend({ force: z.boolean() }),
  output: z.object({ state: z.enum(["deleting", "deleted"]) }),
  deadlineMs: 15_000,
  errors: ["volume.not_found", "volume.in_use", "bus.unavailable", "database.unavailable"],
});

/** Who has it among its mounts; at most 100 are named. */
export const GetVolumeUsers = rpc("volume-manager", "volume.users", {
  input: Ref,
  output: z.object({ users: z.array(VolumeUser).max(100), total: z.int() }),
  deadlineMs: 10_000,
  errors: [...READ_ERRORS, "bus.unavailable"],
});

/** Freezes the content under a name. At once where the store can share blocks; else a copy that goes on after the answer. */
export const CreateVersion = rpc("volume-manager", "version.create", {
  input: Ref.extend({ versionId: VersionId, name: Name.nullable() }),
  output: z.object({ version: VolumeVersion }),
  deadlineMs: 30_000,
  errors: [
    ...READ_ERRORS,
    "volume.not_ready",
    "volume.name_taken",
    "volume.too_many",
    "volume.unsupported",
    "volume.no_space",
    "volume.unreachable",
  ],
});

export const ListVersions = rpc("volume-manager", "version.list", {
  input: Ref.extend({ cursor: VersionId.nullable(), limit: z.int().min(1).max(LIMITS.pageSize) }),
  output: z.object({ versions: z.array(VolumeVersion), nextCursor: VersionId.nullable() }),
  deadlineMs: 5_000,
  errors: READ_ERRORS,
});

export const GetVersion = rpc("volume-manager", "version.get", {
  input: VersionRef,
  output: z.object({ version: VolumeVersion }),
  deadlineMs: 5_000,
  errors: [...READ_ERRORS, "volume.version_not_found"],
});

/** Refused while sandboxes have it mounted. */
export const DeleteVersion = rpc("volume-manager", "version.delete", {
  input: VersionRef.extend({ force: z.boolean() }),
  output: z.object({}),
  deadlineMs: 15_000,
  errors: [...READ_ERRORS, "volume.version_not_found", "volume.in_use", "bus.unavailable"],
});

/**
 * Makes the content what it was at a version. Refused while running sandboxes have the volume mounted other than at a version, for the files would
 * change under them. Goes on after the answer where the store has to copy.
 */
export const RestoreVolume = rpc("volume-manager", "volume.restore", {
  input: VersionRef,
  output: z.object({ volume: Volume }),
  deadlineMs: 30_000,
  errors: [
    ...READ_ERRORS,
    "volume.version_not_found",
    "volume.not_ready",
    "volume.in_use",
    "volume.no_space",
    "volume.unreachable",
    "bus.unavailable",
  ],
});

/** Which process serves the volume's content, and where; asked once and remembered by the gateway. */
export const RouteVolume = rpc("volume-manager", "volume.route", {
  input: Ref,
  output: z.object({ volumeId: VolumeId, url: z.url() }),
  deadlineMs: 5_000,
  errors: [...READ_ERRORS, "volume.not_ready"],
});

/** How a node comes by the files of one mount. Plain secrets: it is never logged, journalled or told. */
export const MountSource = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("directory"), store: StoreId, volumeId: VolumeId, versionId: VersionId.nullable() }),
  z.object({ kind: z.literal("object"), store: StoreId, volumeId: VolumeId, remote: Remote }),
]);
export type MountSource = z.infer<typeof MountSource>;

/** One mount as a node carries it out. */
export const MountOrder = z.object({ path: VolumeMount.shape.path, subpath: SubPath, mode: MountMode, source: MountSource });
export type MountOrder = z.infer<typeof MountOrder>;
export const MountOrders = z.array(MountOrder).max(LIMITS.volumesPerSandbox);

/** Names become ids, and each mount an order for the node. Every store that an order names must be reached by the node that is chosen. */
export const ResolveMounts = rpc("volume-manager", "mounts.resolve", {
  input: z.object({ orgId: OrgId, mounts: z.array(VolumeMount).max(LIMITS.volumesPerSandbox) }),
  /** Both in the order of the input. `mounts` is what is written down: with ids, never secrets. */
  output: z.object({ mounts: z.array(VolumeMount).max(LIMITS.volumesPerSandbox), orders: MountOrders }),
  deadlineMs: 5_000,
  errors: [...READ_ERRORS, "request.invalid", "volume.version_not_found", "volume.not_ready"],
});

/**
 * The directory, below `.banyan/cow` of a sandbox's own files, that holds what it changed in a `cow` mount. It is part of those files, so a freeze, a
 * fork, an archive and a snapshot carry it; the same mount finds it again.
 */
export const cowName = (
  source: { volumeId: string; versionId?: string | null },
  { path, subpath }: Pick<MountOrder, "path" | "subpath">,
): string =>
  createHash("sha256")
    .update(JSON.stringify([source.volumeId, source.versionId ?? null, subpath, path]))
    .digest("hex")
    .slice(0, 32);

/** A volume or one of its versions changed its state. */
export const VolumeChanged = event(
  "volume",
  "changed",
  z.object({
    volumeId: VolumeId,
    orgId: OrgId,
    versionId: VersionId.nullable(),
    from: z.string().nullable(),
    to: z.string(),
    reason: z.string().nullable(),
    at: z.int(),
  }),
);

export const UploadId = z.string().regex(idPattern("upl"), "not an upload id");
