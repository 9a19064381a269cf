import { type Database, translate } from "@banyan/db";
import { and, eq, sql } from "drizzle-orm";
import { type VolumeRow, volumes } from "./schema.ts";

/** From here on nobody is told how to mount it, until it is opened again or moved. Null: its state is no longer the one that was read. */
export async function closeVolume(db: Database, { id, state }: VolumeRow, closing: string, at: Date): Promise<VolumeRow | null> {
  const [closed] = await translate(async () =>
    db.orm
      .update(volumes)
      .set({ closing, closingAt: at })
      .where(and(eq(volumes.id, id), eq(volumes.state, state)))
      .returning(),
  );
  return closed ?? null;
}

/** Without effect where somebody else is closing it by now. */
export async function openVolume(db: Database, id: string, closing: string): Promise<void> {
  await translate(async () =>
    db.orm
      .update(volumes)
      .set({ closing: null, closingAt: null })
      .where(and(eq(volumes.id, id), eq(volumes.closing, closing))),
  );
}

/** Opens what whoever was closing it has forgotten: it ended in between. */
export async function openForgotten(db: Database, before: Date): Promise<void> {
  await translate(async () => {
    await db.orm.execute(sql`update volumes set closing = null, closing_at = null where closing_at < ${before.toISOString()}`);
    await db.orm.execute(sql`update versions set closing = null, closing_at = null where closing_at < ${before.toISOString()}`);
  });
}
