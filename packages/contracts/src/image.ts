import { idPattern, machine } from "@banyan/kernel";
import { z } from "zod";
import { Env, OrgId, SandboxPath, UserSpec } from "./sandbox.ts";
import { job, rpc } from "./verbs.ts";

/** sha256 of the uncompressed layer tar. */
export const Digest = z.string().regex(/^sha256:[0-9a-f]{64}$/, "not a sha256 digest");

export const LayerRef = z.object({ digest: Digest, sizeBytes: z.int() });
export type LayerRef = z.infer<typeof LayerRef>;

export const ImageConfig = z.object({ env: Env, workdir: SandboxPath, user: UserSpec, entrypoint: z.array(z.string()) });
export type ImageConfig = z.infer<typeof ImageConfig>;

/** The legal life of an image. `lost`: its layers are no longer in the blob store and are put there again. */
export const imageMachine = machine({
  building: { built: "ready", failed: "failed" },
  ready: { lost: "building" },
  failed: { retry: "building" },
});
export const IMAGE_STATES = ["building", "ready", "failed"] as const;
export type ImageState = (typeof IMAGE_STATES)[number];
export type ImageEvent = "built" | "failed" | "lost" | "retry";

export const ImageId = z.string().regex(idPattern("img"), "not an image id");

/** A stack plus its config. `orgId` null: visible to all. */
export const Image = z.object({
  id: ImageId,
  name: z.string(),
  orgId: OrgId.nullable(),
  state: z.enum(IMAGE_STATES),
  /** Bottom first; empty until ready. */
  layers: z.array(LayerRef),
  config: ImageConfig,
  /** Where it came from: `registry`, `local`. */
  origin: z.string(),
  error: z.string().nullable(),
  createdAt: z.int(),
});
export type Image = z.infer<typeof Image>;

export const DEFAULT_IMAGE = "default";

/** The image of this name as this organisation sees it. */
export const ResolveImage = rpc("image-builder", "image.resolve", {
  input: z.object({ orgId: OrgId, name: z.string() }),
  output: z.object({ image: Image }),
  deadlineMs: 5_000,
  errors: ["image.not_found", "image.not_ready", "image.build_failed", "database.unavailable"],
});

export const ListImages = rpc("image-builder", "image.list", {
  input: z.object({ orgId: OrgId }),
  output: z.object({ images: z.array(Image) }),
  deadlineMs: 5_000,
  errors: ["database.unavailable"],
});

/** Makes an image that is in state `building` with this version; of any other it does nothing. */
export const BuildImage = job("image-builder", "image.build", {
  input: z.object({ imageId: ImageId, version: z.int() }),
  ackWaitMs: 30_000,
  deliveriesMax: 10,
});

/** The name of a layer's blob: its tar, zstd-compressed. */
export const layerBlob = (digest: string): string => `layers/${digest}`;
