import type { Bus, Served } from "@banyan/bus";
import { ListImages } from "@banyan/contracts";
import type { Database } from "@banyan/db";
import { listImages as readImages } from "../store/list-images.ts";
import { imageView } from "../store/views.ts";

export function listImages(bus: Bus, db: Database): Served {
  return bus.serve(ListImages, async (page) => {
    const found = await readImages(db, page);
    const images = found.slice(0, page.limit).map(imageView);
    return { images, nextCursor: found.length > page.limit ? (images.at(-1)?.id ?? null) : null };
  });
}
