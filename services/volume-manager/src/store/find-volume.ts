import { fault } from "@banyan/contracts";
import { type Database, translate } from "@banyan/db";
import { idPattern } from "@banyan/kernel";
import { and, eq, inArray, notInArray, or } from "drizzle-orm";
import { type VolumeRow, volumes } from "./schema.ts";

const ID = idPattern("vol");

/** By id in any state, by name among those that are not being deleted. */
export async function findVolume(db: Database, orgId: string, idOrName: string): Promise<VolumeRow | null> {
  const rows = await findVolumes(db, orgId, [idOrName]);
  return rows.get(idOrName) ?? null;
}

/** The same for several at once, by what they were asked for with. A volume's name may look like another one's id: the id goes first. */
export async function findVolumes(db: Database, orgId: string, asked: readonly string[]): Promise<Map<string, VolumeRow>> {
  // Postgres has no text with a NUL in it, and so no such name.
  const refs = asked.filter((ref) => !ref.includes("\0"));
  const ids = refs.filter((ref) => ID.test(ref));
  const named = and(inArray(volumes.name, [...refs]), notInArray(volumes.state, ["deleting", "deleted"]));
  const wanted = ids.length === 0 ? named : or(inArray(volumes.id, ids), named);
  const rows =
    refs.length === 0
      ? []
      : await translate(async () =>
          db.orm
            .select()
            .from(volumes)
            .where(and(eq(volumes.orgId, orgId), wanted)),
        );
  const found = new Map<string, VolumeRow>();
  for (const row of rows) if (row.name !== null && row.state !== "deleting" && row.state !== "deleted") found.set(row.name, row);
  for (const row of rows) found.set(row.id, row);
  return found;
}

/** The one that there is to see: one that is deleted is as if it never was. */
export async function getVolume(db: Database, orgId: string, idOrName: string): Promise<VolumeRow> {
  const row = await findVolume(db, orgId, idOrName);
  if (row === null || row.state === "deleted") throw fault("volume.not_found", { volume: idOrName });
  return row;
}

/** Whosever it is: for the work on it. */
export async function findVolumeById(db: Database, id: string): Promise<VolumeRow | null> {
  const [row] = await translate(async () => db.orm.select().from(volumes).where(eq(volumes.id, id)));
  return row ?? null;
}
