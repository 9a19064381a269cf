import { type Database, translate } from "@banyan/db";
import { and, eq, lt } from "drizzle-orm";
import { images } from "./schema.ts";

export async function touchImage(db: Database, id: string, at: Date): Promise<void> {
  await translate(async () =>
    db.orm
      .update(images)
      .set({ lastUsedAt: at })
      .where(and(eq(images.id, id), lt(images.lastUsedAt, at))),
  );
}
