import type { Build, Image } from "@banyan/contracts";
import { sql } from "drizzle-orm";
import { type BuildRow, type ImageRow, imageNames, images } from "./schema.ts";

/** An image with the names that lead to it. */
export type NamedImage = ImageRow & { names: string[] };

/** What a query for named images selects. A public image shows each organisation that one's own names for it, and those that all see. */
export const namedImage = (orgId: string | null) => ({
  image: images,
  names: sql<string[]>`coalesce((
    select jsonb_agg(n.name order by n.name) from ${imageNames} n
    where n.image_id = ${images}.id and (n.org_id is null or n.org_id = ${orgId})), '[]')`,
});
export const toNamedImage = ({ image, names }: { image: ImageRow; names: string[] }): NamedImage => ({ ...image, names });

export function imageView(image: NamedImage): Image {
  const { id, orgId, names, kind, state, layers, config, origin, base, history, error } = image;
  const times = { createdAt: image.createdAt.getTime(), lastUsedAt: image.lastUsedAt.getTime() };
  return { id, orgId, names, kind, state, layers, config, origin, base, history, error, ...times };
}

/** `cached`: whoever asked finds it done. */
export function buildView(build: BuildRow, cached = false): Build {
  const { id, orgId, imageId, state, key, steps, failure, attempts } = build;
  const times = {
    createdAt: build.createdAt.getTime(),
    startedAt: build.startedAt?.getTime() ?? null,
    endedAt: build.endedAt?.getTime() ?? null,
  };
  return { id, orgId, imageId, state, key, cached, steps, failure, attempts, ...times };
}
