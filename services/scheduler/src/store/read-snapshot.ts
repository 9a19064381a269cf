import type { Database } from "@banyan/db";
import { eq } from "drizzle-orm";
import { type Snapshot, snapshots } from "./schema.ts";

export async function readSnapshot({ orm }: Database, imageId: string): Promise<Snapshot | null> {
  const [row] = await orm.select().from(snapshots).where(eq(snapshots.imageId, imageId));
  return row ?? null;
}
