import type { Image } from "@banyan/contracts";
import type { Database } from "@banyan/db";
import { nameImage } from "./name-image.ts";
import { images } from "./schema.ts";

export interface Snapshot extends Pick<Image, "id" | "layers" | "config" | "origin" | "history"> {
  orgId: string;
  /** With its tag. */
  name: string | null;
  at: Date;
}

/** An image that is ready from the start. Of one that is there already nothing changes, its names included. */
export async function registerImage(db: Database, { name, at, ...snapshot }: Snapshot): Promise<void> {
  await db.transaction(async (tx) => {
    const inserted = await tx
      .insert(images)
      .values({
        ...snapshot,
        kind: "snapshot",
        state: "ready",
        base: null,
        wantedNames: [],
        error: null,
        key: snapshot.id,
        attempts: 0,
        version: 1,
        deadlineAt: at,
        createdAt: at,
        lastUsedAt: at,
      })
      .onConflictDoNothing()
      .returning({ id: images.id });
    if (inserted.length > 0 && name !== null) await nameImage(tx, snapshot, [name], at);
  });
}
