import { fault, ImageName, LIMITS, NameImage } from "@banyan/contracts";
import { handle } from "../context.ts";
import { withTag } from "../domain/image-name.ts";
import { findImage } from "../store/find-image.ts";
import { nameImage as writeName } from "../store/name-image.ts";
import { imageView } from "../store/views.ts";

export const nameImage = handle(NameImage, async ({ db, clock }, { orgId, imageId, name }) => {
  const parsed = ImageName.safeParse(name);
  if (!parsed.success) throw fault("request.invalid", { issues: parsed.error.issues.map(({ message }) => `name: ${message}`) });
  const image = await findImage(db, orgId, imageId);
  if (image === null) throw fault("image.not_found", { image: imageId });
  const whole = withTag(parsed.data);
  if (!image.names.includes(whole) && image.names.length >= LIMITS.namesPerImage)
    throw fault("request.invalid", { issues: [`name: an image has at most ${LIMITS.namesPerImage}`] });
  await db.transaction((tx) => writeName(tx, { id: image.id, orgId }, [whole], new Date(clock.now())));
  return { image: imageView((await findImage(db, orgId, image.id)) ?? image) };
});
