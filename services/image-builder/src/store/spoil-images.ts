import type { Database } from "@banyan/db";
import { and, asc, eq, sql } from "drizzle-orm";
import { moveImage } from "./apply-transition.ts";
import { images } from "./schema.ts";

const IMAGES_MAX = 1_000;

/**
 * Marks the builds that stand on a layer which nobody can have any more. What a recipe's image brings is put again by itself, and a snapshot
 * cannot be made again: where a node has its layers it goes on being of use. Answers which were marked.
 */
export function spoilImages(db: Database, digest: string, at: Date): Promise<string[]> {
  const holds = sql`${images.layers} @> ${JSON.stringify([{ digest }])}::jsonb`;
  return db.transaction(async (tx) => {
    const recipes = await tx
      .select({ id: images.id })
      .from(images)
      .where(and(eq(images.kind, "recipe"), holds))
      .limit(1);
    if (recipes.length > 0) return [];
    const standing = and(eq(images.kind, "build"), eq(images.state, "ready"), holds);
    const rows = await tx.select().from(images).where(standing).orderBy(asc(images.id)).limit(IMAGES_MAX).for("update");
    for (const image of rows) {
      await moveImage(tx, image, "spoiled", { error: "A layer of it was lost: request it again.", deadlineAt: at });
    }
    return rows.map(({ id }) => id);
  });
}
