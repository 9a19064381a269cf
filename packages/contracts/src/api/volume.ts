import { z } from "zod";
import { LIMITS } from "../limits.ts";
import { Labels, Name, SANDBOX_STATES } from "../sandbox.ts";
import { BACKEND_KINDS, Remote, VERSION_STATES, VOLUME_STATES } from "../volume.ts";
import { MountMode, MountPath, mountFault, SubPath, VersionId, VolumeId } from "../volume-mount.ts";

const PAGE_DEFAULT = 50;
const named = z.string().min(1).max(255);
const quota = z.int().min(1).max(LIMITS.volumeQuotaMbMax).nullable();

/** One mount as a sandbox asks for it. */
export const MountInput = z.strictObject({
  volume: named.describe("The name or id of a volume."),
  path: MountPath.describe("Where it appears: absolute, not /, /proc, /dev or /sys, nor within another mount. Made where it is missing."),
  mode: MountMode.default("rw").describe("rw: shared, changes seen by all; ro; cow: a private writable view over the shared content."),
  subpath: SubPath.default("").describe("A directory or file of the volume. Default: all of it."),
  version: named.nullable().default(null).describe("The name or id of a version, with `ro` or `cow`. Null: the content as it is."),
});
export const MountInputs = z
  .array(MountInput)
  .max(LIMITS.volumesPerSandbox)
  .superRefine((mounts, context) => {
    const found = mountFault(mounts);
    if (found !== null) context.addIssue({ code: "custom", path: [found.index, "path"], message: found.message });
  });

/** `POST /v1/sandboxes/{id}/volumes` */
export const MountVolumeBody = MountInput.superRefine((mount, context) => {
  const found = mountFault([mount]);
  if (found !== null) context.addIssue({ code: "custom", path: ["mode"], message: found.message });
});

/** A mount as a sandbox has it. */
export const Mount = z.object({
  volume: z.string().describe("The volume's id."),
  path: z.string(),
  mode: MountMode,
  subpath: z.string(),
  version: z.string().nullable(),
});
export type Mount = z.infer<typeof Mount>;

/** `DELETE /v1/sandboxes/{id}/volumes` */
export const UnmountQuery = z.strictObject({
  path: MountPath.describe("Where it is mounted."),
  force: z
    .enum(["true", "false"])
    .default("false")
    .describe("Also while processes use it: what they have open stays theirs until they close it."),
});

/** Where an `object` volume lies. */
export const RemoteInput = Remote;

/** `POST /v1/volumes` */
export const CreateVolumeBody = z
  .strictObject({
    name: Name.nullable().default(null),
    labels: Labels.default({}),
    quota_mb: quota.default(null).describe("Null: as much as its store holds."),
    backend: z.enum(BACKEND_KINDS).default("directory"),
    remote: RemoteInput.optional().describe("Of the backend `object`: where it lies, and how it is reached. Secrets are never answered."),
  })
  .superRefine(({ backend, remote }, context) => {
    if ((backend === "object") === (remote !== undefined)) return;
    context.addIssue({
      code: "custom",
      path: ["remote"],
      message: remote ? "only with the backend `object`" : "needed with the backend `object`",
    });
  });
export type CreateVolumeBody = z.infer<typeof CreateVolumeBody>;
export type CreateVolumeInput = z.input<typeof CreateVolumeBody>;
export const UpdateVolumeBody = z.strictObject({
  name: Name.nullable().optional(),
  labels: z.record(z.string(), z.string().max(LIMITS.labelValueLength).nullable()).optional(),
  quota_mb: quota.optional(),
});
/** `DELETE /v1/volumes/{id}` */
export const DeleteVolumeQuery = z.strictObject({
  force: z
    .enum(["true", "false"])
    .default("false")
    .describe("Also where stopped sandboxes have it among their mounts: they cannot start any more."),
});
/** `POST /v1/volumes/{id}/forks`: another volume with the same content. */
export const ForkVolumeBody = z.strictObject({
  name: Name.nullable().default(null),
  labels: Labels.default({}),
  quota_mb: quota.optional().describe("Default: that of the volume."),
  version: named.nullable().default(null).describe("The name or id of the version to begin from. Null: the content as it is."),
});
/** `POST /v1/volumes/{id}/versions` */
export const CreateVersionBody = z.strictObject({ name: Name.nullable().default(null) });
/** `POST /v1/volumes/{id}/restore` */
export const RestoreVolumeBody = z.strictObject({ version: named });

const Usage = z.object({
  bytes: z.int().nullable(),
  files: z.int().nullable(),
  measured_at: z.iso.datetime().nullable().describe("Null: never, or the backend cannot tell."),
});

export const Volume = z.object({
  id: z.string(),
  name: z.string().nullable(),
  labels: z.record(z.string(), z.string()),
  state: z.enum(VOLUME_STATES),
  state_reason: z.string().nullable(),
  backend: z.enum(BACKEND_KINDS),
  store: z.string().describe("Where it lies: mounted on every node that reaches this store."),
  remote: z.object({ type: z.string(), path: z.string(), options: z.record(z.string(), z.string()) }).nullable(),
  quota_mb: z.int().nullable(),
  quota_enforced_by: z.enum(["kernel", "upload", "none"]).describe("kernel: wherever a write comes from; upload: only for uploads."),
  usage: Usage,
  origin: z.object({ volume_id: z.string(), version_id: z.string().nullable() }).nullable().describe("What it was forked from."),
  progress: z.number().nullable().describe("Share of the copy that is done while it is `creating` or `restoring`."),
  created_at: z.iso.datetime(),
  updated_at: z.iso.datetime(),
});
export type Volume = z.infer<typeof Volume>;
export const ListVolumesQuery = z.strictObject({
  label: z
    .array(z.string().regex(/^[^=]+=/, "must be key=value"))
    .max(LIMITS.labelsPerSandbox)
    .default([])
    .describe("key=value; repeated: all must match."),
  cursor: VolumeId.optional().describe("`next_cursor` of the page before."),
  limit: z.coerce.number().int().min(1).max(LIMITS.pageSize).default(PAGE_DEFAULT),
});
export const VolumePage = z.object({ volumes: z.array(Volume), next_cursor: z.string().nullable() });

export const VolumeUsers = z.object({
  users: z.array(z.object({ sandbox_id: z.string(), state: z.enum(SANDBOX_STATES), path: z.string(), mode: MountMode })),
  total: z.int(),
});
export type VolumeUsers = z.infer<typeof VolumeUsers>;

export const VolumeVersion = z.object({
  id: z.string(),
  volume_id: z.string(),
  name: z.string().nullable(),
  state: z.enum(VERSION_STATES),
  state_reason: z.string().nullable(),
  usage: Usage,
  progress: z.number().nullable(),
  created_at: z.iso.datetime(),
});
export type VolumeVersion = z.infer<typeof VolumeVersion>;
export const ListVersionsQuery = z.strictObject({
  cursor: VersionId.optional().describe("`next_cursor` of the page before."),
  limit: z.coerce.number().int().min(1).max(LIMITS.pageSize).default(PAGE_DEFAULT),
});
export const VersionPage = z.object({ versions: z.array(VolumeVersion), next_cursor: z.string().nullable() });

/**
 * The content of a volume: below `/v1/volumes/{id}/files` the same calls as below `/v1/sandboxes/{id}/files`, with paths that begin at the volume's
 * root, and without `user`. Those that only read take `version=` too. A symlink leads only to what is in the volume.
 */
export const VOLUME_PLANE_SEGMENTS = ["files", "uploads"] as const;

const Sha256 = z.string().regex(/^[0-9a-f]{64}$/, "64 lower-case hexadecimal digits");
const UploadMode = z.string().regex(/^0?[0-7]{3,4}$/, "an octal mode such as 0644");

/** `POST /v1/volumes/{id}/uploads`: a large file in parts that can be resumed. Nothing of it is seen at `path` before it is complete. */
export const CreateUploadBody = z.strictObject({
  path: z.string().min(1).max(4_095),
  size: z.int().min(0).max(LIMITS.uploadBytesMax).describe("Of the whole file, in bytes."),
  sha256: Sha256.optional().describe("Of the whole file: checked when it is complete."),
  mode: UploadMode.default("0644"),
  modified_at: z.iso.datetime().optional(),
});
/** `PUT /v1/volumes/{id}/uploads/{upload}?offset=`: raw bytes. Each part with its own checksum; one that was taken already is taken again. */
export const UploadPartQuery = z.strictObject({
  offset: z.coerce.number().int().min(0).max(LIMITS.uploadBytesMax),
  sha256: Sha256.describe("Of this part."),
});
/** What each call of an upload answers. `POST …/complete` makes the file appear; `DELETE` gives it up. */
export const Upload = z.object({
  id: z.string(),
  volume_id: z.string(),
  path: z.string(),
  size: z.int(),
  offset: z.int().describe("So many bytes are here: go on from there."),
  part_bytes_max: z.int(),
  state: z.enum(["open", "complete"]),
  expires_at: z.iso.datetime(),
});
export type Upload = z.infer<typeof Upload>;
