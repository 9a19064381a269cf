import type { Image } from "@banyan/contracts";
import { type Database, translate } from "@banyan/db";
import { and, desc, eq, isNull, lt, or } from "drizzle-orm";
import { images } from "./schema.ts";
import { type NamedImage, namedImage, toNamedImage } from "./views.ts";

/** The organisation's own and the public ones, newest first. One more than a page tells whether there is another. */
export async function listImages(
  db: Database,
  page: { orgId: string; kind?: Image["kind"] | undefined; cursor: string | null; limit: number },
): Promise<NamedImage[]> {
  const { orgId, kind, cursor, limit } = page;
  const rows = await translate(async () =>
    db.orm
      .select(namedImage(orgId))
      .from(images)
      .where(
        and(
          or(isNull(images.orgId), eq(images.orgId, orgId)),
          kind === undefined ? undefined : eq(images.kind, kind),
          cursor === null ? undefined : lt(images.id, cursor),
        ),
      )
      .orderBy(desc(images.id))
      .limit(limit + 1),
  );
  return rows.map(toNamedImage);
}
