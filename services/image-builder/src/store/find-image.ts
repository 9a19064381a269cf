import { type Database, translate } from "@banyan/db";
import { and, eq, isNull, or, type SQL, sql } from "drizzle-orm";
import { withTag } from "../domain/image-name.ts";
import { imageNames, images } from "./schema.ts";
import { type NamedImage, namedImage, toNamedImage } from "./views.ts";

/** In any state. */
export async function findImageById(db: Database, id: string): Promise<NamedImage | null> {
  return first(db, eq(images.id, id));
}

/** The one image of this key of an organisation, or the public one. */
export async function findImageByKey(db: Database, orgId: string | null, key: string): Promise<NamedImage | null> {
  return first(db, and(sql`coalesce(${images.orgId}, '') = ${orgId ?? ""}`, eq(images.key, key)));
}

/**
 * The image of this name or id as the organisation sees it: its own names before the public ones. A name that no image has yet leads to the
 * newest one that will get it.
 */
export async function findImage(db: Database, orgId: string, nameOrId: string): Promise<NamedImage | null> {
  const visible = or(isNull(images.orgId), eq(images.orgId, orgId));
  const own = sql`${images.orgId} nulls last, ${images.createdAt} desc`;
  if (nameOrId.startsWith("img_")) {
    const byId = await first(db, and(eq(images.id, nameOrId), visible));
    if (byId !== null) return byId;
  }
  const name = withTag(nameOrId);
  const held = sql`${images.id} in (select n.image_id from ${imageNames} n where n.name = ${name} and (n.org_id is null or n.org_id = ${orgId}))`;
  const wanted = sql`${images.wantedNames} @> ${JSON.stringify([name])}::jsonb`;
  return (await first(db, and(held, visible), own)) ?? first(db, and(wanted, visible), own);
}

async function first(db: Database, where: SQL | undefined, order?: SQL): Promise<NamedImage | null> {
  const query = db.orm.select(namedImage).from(images).where(where).limit(1);
  const rows = await translate(async () => (order === undefined ? query : query.orderBy(order)));
  return rows[0] ? toNamedImage(rows[0]) : null;
}
