import { idPattern, machine } from "@banyan/kernel";
import { z } from "zod";
import { Digest, ReadyCheck } from "./image-spec.ts";
import { LIMITS } from "./limits.ts";
import { Env, OrgId, SandboxId, SandboxPath, UserSpec } from "./sandbox.ts";
import { job, rpc } from "./verbs.ts";

/** `sizeBytes`: of the uncompressed tar, as the digest is. */
export const LayerRef = z.object({ digest: Digest, sizeBytes: z.int() });
export type LayerRef = z.infer<typeof LayerRef>;

/** Bottom first. */
export const Layers = z.array(LayerRef).max(LIMITS.layersPerImage);

export const ImageConfig = z.object({
  env: Env,
  workdir: SandboxPath,
  user: UserSpec,
  entrypoint: z.array(z.string()),
  ready: ReadyCheck.nullable().default(null),
  /** What a sandbox gets where its own limits do not say. */
  resources: z.object({ cpu: z.number().optional(), memoryMb: z.int().optional(), diskMb: z.int().optional() }).default({}),
});
export type ImageConfig = z.infer<typeof ImageConfig>;

/**
 * The legal life of an image. `lost`: its layers are no longer in the blob store and are put there again. `spoiled`: the same of a build, which
 * is made again once somebody asks for it.
 */
export const imageMachine = machine({
  building: { built: "ready", failed: "failed", cancelled: "failed" },
  ready: { lost: "building", spoiled: "failed" },
  failed: { retry: "building" },
});
export const IMAGE_STATES = ["building", "ready", "failed"] as const;
export type ImageState = (typeof IMAGE_STATES)[number];
export type ImageEvent = "built" | "failed" | "cancelled" | "lost" | "spoiled" | "retry";

export const ImageId = z.string().regex(idPattern("img"), "not an image id");

/** One line of an image's history, oldest first: what made a layer. */
export const HistoryEntry = z.object({ title: z.string(), digest: Digest.nullable(), sizeBytes: z.int(), at: z.int() });

/** A stack plus its config. `orgId` null: visible to all. */
export const Image = z.object({
  id: ImageId,
  orgId: OrgId.nullable(),
  /** The names that lead to it now, `name:tag`. */
  names: z.array(z.string()),
  /** recipe: made by Banyan itself; build: from a spec; snapshot: of a sandbox. */
  kind: z.enum(["recipe", "build", "snapshot"]),
  state: z.enum(IMAGE_STATES),
  /** Bottom first; empty until ready. */
  layers: Layers,
  config: ImageConfig,
  /** Where it came from: `registry`, `local`, `build`, `sbx_…`. */
  origin: z.string(),
  /** What its base was resolved to: the reference as asked, and the digest or image it was pinned to. Null: it has none. */
  base: z.object({ reference: z.string(), pinnedTo: z.string() }).nullable(),
  history: z.array(HistoryEntry).max(LIMITS.layersPerImage * 2),
  error: z.string().nullable(),
  createdAt: z.int(),
  lastUsedAt: z.int(),
});
export type Image = z.infer<typeof Image>;

export const DEFAULT_IMAGE = "default";

/** The image of this name or id as this organisation sees it. `warn` where it is used by a start: its use is noted. */
export const ResolveImage = rpc("image-builder", "image.resolve", {
  input: z.object({ orgId: OrgId, name: z.string() }),
  output: z.object({ image: Image }),
  deadlineMs: 5_000,
  errors: ["image.not_found", "image.not_ready", "image.build_failed", "database.unavailable"],
});

export const ListImages = rpc("image-builder", "image.list", {
  input: z.object({
    orgId: OrgId,
    /** Only those of this kind. */
    kind: Image.shape.kind.optional(),
    cursor: ImageId.nullable().default(null),
    limit: z.int().min(1).max(LIMITS.pageSize).default(LIMITS.pageSize),
  }),
  output: z.object({ images: z.array(Image), nextCursor: ImageId.nullable() }),
  deadlineMs: 5_000,
  errors: ["database.unavailable"],
});

/** In any state; of a name or id. */
export const GetImage = rpc("image-builder", "image.get", {
  input: z.object({ orgId: OrgId, name: z.string() }),
  output: z.object({ image: Image }),
  deadlineMs: 5_000,
  errors: ["image.not_found", "database.unavailable"],
});

/** Gives the image one name more, taken from whichever image had it in this organisation. */
export const NameImage = rpc("image-builder", "image.name", {
  input: z.object({ orgId: OrgId, imageId: ImageId, name: z.string() }),
  output: z.object({ image: Image }),
  deadlineMs: 5_000,
  errors: ["image.not_found", "request.invalid", "database.unavailable"],
});

export const UnnameImage = rpc("image-builder", "image.unname", {
  input: z.object({ orgId: OrgId, name: z.string() }),
  output: z.object({}),
  deadlineMs: 5_000,
  errors: ["image.not_found", "database.unavailable"],
});

/** Refused while sandboxes or other images use it: `details.usedBy` says which. */
export const DeleteImage = rpc("image-builder", "image.delete", {
  input: z.object({ orgId: OrgId, imageId: ImageId }),
  output: z.object({}),
  deadlineMs: 15_000,
  errors: ["image.not_found", "image.in_use", "image.protected", "database.unavailable", "bus.unavailable"],
});

/** Makes an image of layers that are in the blob store: how a snapshot gets its name. The id is made by the caller; again is a repeat. */
export const RegisterImage = rpc("image-builder", "image.register", {
  input: z.object({
    orgId: OrgId,
    imageId: ImageId,
    name: z.string().nullable(),
    layers: Layers.min(1),
    config: ImageConfig,
    sandboxId: SandboxId,
  }),
  output: z.object({ image: Image }),
  deadlineMs: 15_000,
  errors: ["request.invalid", "layer.unavailable", "database.unavailable"],
});

/** A node could not have this layer: whether the blob store has it, and whole, is looked into. What stands on it is made again where it is not. */
export const CheckLayer = job("image-builder", "layer.check", {
  input: z.object({ digest: Digest }),
  ackWaitMs: 30_000,
  deliveriesMax: 5,
});

export const LAYER_BLOBS = "layers/";
export const CONTEXT_BLOBS = "contexts/";
/** The name of a layer's blob: its tar, zstd-compressed. */
export const layerBlob = (digest: string): string => `${LAYER_BLOBS}${digest}`;
/** An uploaded context's tar, as it was sent. An organisation reads only its own. */
export const contextBlob = (orgId: string, digest: string): string => `${CONTEXT_BLOBS}${orgId}/${digest}`;
