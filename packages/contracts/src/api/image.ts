import { z } from "zod";
import { IMAGE_STATES } from "../image.ts";
import { BuildSecrets, Digest, ImageName, ImageSpec as Spec } from "../image-spec.ts";
import { LIMITS } from "../limits.ts";
import { SandboxPath, UserSpec } from "../sandbox.ts";

/** A component of the document under a name of its own. */
export const ImageSpecBody = Spec;

export const IMAGE_KINDS = ["recipe", "build", "snapshot"] as const;

export const Image = z.object({
  id: z.string(),
  names: z.array(z.string()).describe("The names that lead to it now, `name:tag`."),
  kind: z.enum(IMAGE_KINDS).describe("recipe: Banyan's own; build: from a spec; snapshot: of a sandbox."),
  state: z.enum(IMAGE_STATES),
  size_bytes: z.int().describe("Of all its layers, unpacked and shared or not."),
  origin: z.string().describe("Where it came from: `registry`, `local`, `build`, or the sandbox."),
  base: z.object({ reference: z.string(), pinned_to: z.string() }).nullable().describe("As it was asked for, and what that was pinned to."),
  error: z.string().nullable(),
  created_at: z.iso.datetime(),
  last_used_at: z.iso.datetime(),
});
export type Image = z.infer<typeof Image>;

/** What `GET /v1/images/{ref}` answers. */
export const ImageDetails = Image.extend({
  layers: z.array(z.object({ digest: Digest, size_bytes: z.int() })).describe("Bottom first."),
  history: z.array(z.object({ title: z.string(), digest: Digest.nullable(), size_bytes: z.int(), created_at: z.iso.datetime() })),
  config: z.object({
    env: z.record(z.string(), z.string()),
    workdir: SandboxPath,
    user: UserSpec,
    entrypoint: z.array(z.string()),
    ready: z
      .object({ command: z.string().optional(), port: z.int().optional(), file: z.string().optional(), timeout_ms: z.int() })
      .nullable(),
    resources: z.object({ cpu: z.number().optional(), memory_mb: z.int().optional(), disk_mb: z.int().optional() }),
  }),
  used_by: z.object({
    sandboxes: z.int().describe("How many sandboxes of your organisation were made from it."),
    sandbox_ids: z.array(z.string()),
  }),
});
export type ImageDetails = z.infer<typeof ImageDetails>;
export const ImagePage = z.object({ images: z.array(Image), next_cursor: z.string().nullable() });

/** `POST /v1/images` */
export const BuildImageBody = z.strictObject({
  spec: Spec,
  name: ImageName.nullable().default(null).describe("Given to the image as soon as it is ready."),
  secrets: BuildSecrets.default({}).describe("By name, for the steps that list them. Never kept."),
  force: z.boolean().default(false).describe("Build also what failed just now."),
});
export type BuildImageBody = z.infer<typeof BuildImageBody>;
export type BuildImageInput = z.input<typeof BuildImageBody>;

export const NameImageBody = z.strictObject({ name: ImageName });

/** `POST /v1/sandboxes/{id}/snapshots` */
export const SnapshotBody = z.strictObject({ name: ImageName.nullable().default(null) });
export const Snapshot = Image.extend({
  way: z.enum(["stopped", "restack", "copy"]).describe("How its files were frozen."),
  paused_ms: z.number().describe("How long its processes stood still."),
  skipped: z.array(z.string()).describe("Sockets and the like, which no image can hold."),
});
export type Snapshot = z.infer<typeof Snapshot>;

/** `PUT /v1/contexts/{digest}`: the body is a tar: plain, gzip or zstd. The digest is of the bytes as they are sent. */
export const Context = z.object({ digest: Digest, size_bytes: z.int() });

/** `PUT /v1/registries/{host}` */
export const SaveRegistryBody = z.strictObject({
  username: z.string().min(1).max(255),
  password: z.string().min(1).max(LIMITS.secretBytes).describe("Kept sealed, used to pull, never shown again."),
});
export const Registry = z.object({ host: z.string(), username: z.string(), created_at: z.iso.datetime() });
export type Registry = z.infer<typeof Registry>;
export const RegistryList = z.object({ registries: z.array(Registry) });
