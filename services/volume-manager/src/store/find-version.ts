import { fault } from "@banyan/contracts";
import { type Database, translate } from "@banyan/db";
import { and, eq, notInArray, or } from "drizzle-orm";
import { type VersionRow, versions } from "./schema.ts";

/** By id in any state, by name among those that are not being deleted. The id goes first. */
export async function findVersion(db: Database, volumeId: string, idOrName: string): Promise<VersionRow | null> {
  if (idOrName.includes("\0")) return null;
  const named = and(eq(versions.name, idOrName), notInArray(versions.state, ["deleting", "deleted"]));
  const rows = await translate(async () =>
    db.orm
      .select()
      .from(versions)
      .where(and(eq(versions.volumeId, volumeId), or(eq(versions.id, idOrName), named))),
  );
  return rows.find(({ id }) => id === idOrName) ?? rows[0] ?? null;
}

/** The one that there is to see. */
export async function getVersion(db: Database, volumeId: string, idOrName: string): Promise<VersionRow> {
  const row = await findVersion(db, volumeId, idOrName);
  if (row === null || row.state === "deleted") throw fault("volume.version_not_found", { volumeId, version: idOrName });
  return row;
}

export async function findVersionById(db: Database, id: string): Promise<VersionRow | null> {
  const [row] = await translate(async () => db.orm.select().from(versions).where(eq(versions.id, id)));
  return row ?? null;
}
