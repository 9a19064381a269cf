import { idPattern } from "@banyan/kernel";
import { z } from "zod";
import { Env, OrgId, SandboxPath, UserSpec } from "./sandbox.ts";
import { rpc } from "./verbs.ts";

/** sha256 of the uncompressed layer tar. */
export const Digest = z.string().regex(/^sha256:[0-9a-f]{64}$/, "not a sha256 digest");

export const LayerRef = z.object({ digest: Digest, sizeBytes: z.int() });
export type LayerRef = z.infer<typeof LayerRef>;

export const ImageConfig = z.object({ env: Env, workdir: SandboxPath, user: UserSpec, entrypoint: z.array(z.string()) });
export type ImageConfig = z.infer<typeof ImageConfig>;

/** A stack plus its config. `orgId` null: visible to all. */
export const Image = z.object({
  id: z.string().regex(idPattern("img")),
  name: z.string(),
  orgId: OrgId.nullable(),
  state: z.enum(["building", "ready", "failed"]),
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

/** The name of a layer's blob: its tar, zstd-compressed. */
export const layerBlob = (digest: string): string => `layers/${digest}`;
