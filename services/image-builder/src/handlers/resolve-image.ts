import { fault, ResolveImage } from "@banyan/contracts";
import { handle } from "../context.ts";
import { retryDelayMs } from "../domain/next-action.ts";
import { findImage } from "../store/find-image.ts";
import { imageView } from "../store/views.ts";

const NOT_READY_RETRY_MS = 2_000;

export const resolveImage = handle(ResolveImage, async ({ db, uses }, { orgId, name }) => {
  const image = await findImage(db, orgId, name);
  if (image === null) throw fault("image.not_found", { image: name });
  if (image.state === "building") throw fault("image.not_ready", { image: name, retryAfterMs: NOT_READY_RETRY_MS });
  if (image.state === "failed") {
    // A recipe is tried again by itself, a spec when somebody asks for it.
    const retryAfterMs = image.kind === "recipe" ? retryDelayMs(image.attempts) : null;
    throw fault("image.build_failed", { image: name, reason: image.error, ...(retryAfterMs !== null && { retryAfterMs }) });
  }
  uses.note(image.id);
  return { image: imageView(image) };
});
