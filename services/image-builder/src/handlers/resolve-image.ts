import type { Bus, Served } from "@banyan/bus";
import { fault, ResolveImage } from "@banyan/contracts";
import type { Database } from "@banyan/db";
import { retryDelayMs } from "../domain/next-action.ts";
import { findImage } from "../store/find-image.ts";
import { imageView } from "../store/views.ts";

const NOT_READY_RETRY_MS = 2_000;

export function resolveImage(bus: Bus, db: Database): Served {
  return bus.serve(ResolveImage, async ({ orgId, name }) => {
    const image = await findImage(db, orgId, name);
    if (image === null) throw fault("image.not_found", { image: name });
    if (image.state === "building") throw fault("image.not_ready", { image: name, retryAfterMs: NOT_READY_RETRY_MS });
    if (image.state === "failed") {
      const retryAfterMs = retryDelayMs(image.attempts);
      throw fault("image.build_failed", { image: name, reason: image.error, ...(retryAfterMs !== null && { retryAfterMs }) });
    }
    return { image: imageView(image) };
  });
}
