import { fault, LIMITS, layerBlob, RegisterImage } from "@banyan/contracts";
import { forEachAtMost } from "@banyan/service";
import { handle } from "../context.ts";
import { withTag } from "../domain/image-name.ts";
import { findImageById } from "../store/find-image.ts";
import { noteLayers } from "../store/note-layers.ts";
import { registerImage as writeImage } from "../store/register-image.ts";
import { imageView } from "../store/views.ts";

const LOOKUPS_AT_ONCE = 8;

export const registerImage = handle(RegisterImage, async ({ bus, db, clock }, input) => {
  const { orgId, imageId, layers, config, sandboxId } = input;
  const name = input.name === null ? null : withTag(input.name);
  if (layers.length > LIMITS.layersPerImage) throw fault("request.invalid", { issues: [`layers: at most ${LIMITS.layersPerImage}`] });
  const at = new Date(clock.now());
  // Noted before it is looked whether they are there: from here on the sweep leaves them alone.
  await noteLayers(db.orm, layers, at);
  await forEachAtMost(layers, LOOKUPS_AT_ONCE, async ({ digest }) => {
    if (!(await bus.blobs.has(layerBlob(digest)))) throw fault("layer.unavailable", { digest });
  });
  const top = layers.at(-1);
  const history = [{ title: `snapshot of ${sandboxId}`, digest: top?.digest ?? null, sizeBytes: top?.sizeBytes ?? 0, at: at.getTime() }];
  await writeImage(db, { id: imageId, orgId, layers, config, origin: sandboxId, history, name, at });
  const image = await findImageById(db, imageId, orgId);
  if (image === null || image.orgId !== orgId) throw fault("request.invalid", { issues: ["imageId: is another organisation's"] });
  return { image: imageView(image) };
});
