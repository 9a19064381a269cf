import { ListImages } from "@banyan/contracts";
import { handle } from "../context.ts";
import { listImages as readImages } from "../store/list-images.ts";
import { imageView } from "../store/views.ts";

export const listImages = handle(ListImages, async ({ db }, page) => {
  const found = await readImages(db, page);
  const images = found.slice(0, page.limit).map(imageView);
  return { images, nextCursor: found.length > page.limit ? (images.at(-1)?.id ?? null) : null };
});
