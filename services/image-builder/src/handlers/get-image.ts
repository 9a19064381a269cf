import { fault, GetImage } from "@banyan/contracts";
import { handle } from "../context.ts";
import { findImage } from "../store/find-image.ts";
import { imageView } from "../store/views.ts";

export const getImage = handle(GetImage, async ({ db }, { orgId, name }) => {
  const image = await findImage(db, orgId, name);
  if (image === null) throw fault("image.not_found", { image: name });
  return { image: imageView(image) };
});
