import { type Database, translate } from "@banyan/db";
import { and, eq } from "drizzle-orm";
import { type VersionRow, versions } from "./schema.ts";

/** As `closeVolume`. */
export async function closeVersion(db: Database, { id, state }: VersionRow, closing: string, at: Date): Promise<VersionRow | null> {
  const [closed] = await translate(async () =>
    db.orm
      .update(versions)
      .set({ closing, closingAt: at })
      .where(and(eq(versions.id, id), eq(versions.state, state)))
      .returning(),
  );
  return closed ?? null;
}

/** Without effect where somebody else is closing it by now. */
export async function openVersion(db: Database, id: string, closing: string): Promise<void> {
  await translate(async () =>
    db.orm
      .update(versions)
      .set({ closing: null, closingAt: null })
      .where(and(eq(versions.id, id), eq(versions.closing, closing))),
  );
}
