import { type Database, translate } from "@banyan/db";
import { and, eq, isNull, or, type SQL, sql } from "drizzle-orm";
import { withTag } from "../domain/image-name.ts";
import { imageNames, images } from "./schema.ts";
import { type NamedImage, namedImage, toNamedImage } from "./views.ts";

/** In any state, whosever it is, with the names that `orgId` sees. */
export async function findImageById(db: Database, id: string, orgId: string | null = null): Promise<NamedImage | null> {
  return first(db, orgId, eq(images.id, id));
}

/** The one image of this key of an organisation, or the public one. */
export async function findImageByKey(db: Database, orgId: string | null, key: string): Promise<NamedImage | null> {
  return first(db, orgId, and(sql`coalesce(${images.orgId}, '') = ${orgId ?? ""}`, eq(images.key, key)));
}

/**
 * The image of this name or id as the organisation sees it: its own names before the public ones. A name that no image has yet leads to the
 * newest one that will get it.
 */
export async function findImage(db: Database, orgId: string, nameOrId: string): Promise<NamedImage | null> {
  const visible = or(isNull(images.orgId), eq(images.orgId, orgId));
  if (nameOrId.startsWith("img_")) {
    const byId = await first(db, orgId, and(eq(images.id, nameOrId), visible));
    if (byId !== null) return byId;
  }
  const name = withTag(nameOrId);
  const held = sql`${images.id} = (
    select n.image_id from ${imageNames} n where n.name = ${name} and (n.org_id is null or n.org_id = ${orgId})
    order by n.org_id nulls last limit 1)`;
  const wanted = sql`${images.wantedNames} @> ${JSON.stringify([name])}::jsonb`;
  const newest = sql`${images.orgId} nulls last, ${images.createdAt} desc`;
  return (await first(db, orgId, and(held, visible))) ?? first(db, orgId, and(wanted, visible), newest);
}

async function first(db: Database, orgId: string | null, where: SQL | undefined, order?: SQL): Promise<NamedImage | null> {
  const query = db.orm.select(namedImage(orgId)).from(images).where(where).limit(1);
  const rows = await translate(async () => (order === undefined ? query : query.orderBy(order)));
  return rows[0] ? toNamedImage(rows[0]) : null;
}
