import type { Database } from "@banyan/db";
import { eq } from "drizzle-orm";
import { snapshots } from "./schema.ts";

export async function removeSnapshot({ orm }: Database, imageId: string): Promise<void> {
  await orm.delete(snapshots).where(eq(snapshots.imageId, imageId));
}
