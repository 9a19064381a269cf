import { type Database, translate } from "@banyan/db";
import { and, eq } from "drizzle-orm";
import { type ImageRow, images } from "./schema.ts";

/** Postpones the loop's next look without a change of state. */
export async function touchDeadline(db: Database, image: ImageRow, deadlineAt: Date): Promise<void> {
  await translate(async () =>
    db.orm
      .update(images)
      .set({ deadlineAt })
      .where(and(eq(images.id, image.id), eq(images.version, image.version))),
  );
}
