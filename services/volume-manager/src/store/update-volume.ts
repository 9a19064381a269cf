import { fault } from "@banyan/contracts";
import { type Database, isUniqueViolation, translate } from "@banyan/db";
import { and, eq } from "drizzle-orm";
import { type VolumeRow, volumes } from "./schema.ts";

export type Settings = Partial<Pick<VolumeRow, "name" | "labels" | "quotaMb">>;

/** Fenced by the version that was read. Null: somebody else changed it first. Throws volume.name_taken. */
export async function updateVolume(db: Database, before: VolumeRow, settings: Settings, at: Date): Promise<VolumeRow | null> {
  try {
    const [updated] = await translate(async () =>
      db.orm
        .update(volumes)
        .set({ ...settings, version: before.version + 1, updatedAt: at })
        .where(and(eq(volumes.id, before.id), eq(volumes.version, before.version)))
        .returning(),
    );
    return updated ?? null;
  } catch (error) {
    if (isUniqueViolation(error, "volumes_name")) throw fault("volume.name_taken", { name: settings.name }, { cause: error });
    throw error;
  }
}
