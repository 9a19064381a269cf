import { type Database, translate } from "@banyan/db";
import { and, eq, or } from "drizzle-orm";
import { volumes } from "./schema.ts";

const NAMED_MAX = 20;

/** The volumes that are being made from this one (or this version of it), or put back to this version. */
export async function findReaders(db: Database, volumeId: string, versionId: string | null): Promise<string[]> {
  const forks = and(
    eq(volumes.state, "creating"),
    eq(volumes.originVolumeId, volumeId),
    versionId === null ? undefined : eq(volumes.originVersionId, versionId),
  );
  const restores = versionId === null ? undefined : and(eq(volumes.state, "restoring"), eq(volumes.restoreVersionId, versionId));
  const rows = await translate(async () =>
    db.orm
      .select({ id: volumes.id })
      .from(volumes)
      .where(restores === undefined ? forks : or(forks, restores))
      .limit(NAMED_MAX),
  );
  return rows.map(({ id }) => id);
}
