import { type ImageEvent, imageMachine } from "@banyan/contracts";
import type { Database, Transaction } from "@banyan/db";
import { assert } from "@banyan/kernel";
import { and, eq } from "drizzle-orm";
import { nameImage } from "./name-image.ts";
import { type ImageRow, images } from "./schema.ts";

export type ImageChanges = Partial<Pick<ImageRow, "layers" | "config" | "history" | "origin" | "error" | "attempts">> &
  Pick<ImageRow, "deadlineAt">;

/** Fenced by the version that was read. Null: somebody else moved it first. An image that is ready gets the names that wait for it. */
export function applyTransition(db: Database, image: ImageRow, event: ImageEvent, changes: ImageChanges): Promise<ImageRow | null> {
  return db.transaction((tx) => moveImage(tx, image, event, changes));
}

export async function moveImage(tx: Transaction, image: ImageRow, event: ImageEvent, changes: ImageChanges): Promise<ImageRow | null> {
  const state = imageMachine.next(image.state, event);
  assert(state !== null, `an image that is ${image.state} cannot be ${event}`);
  const rows = await tx
    .update(images)
    .set({ ...changes, state, version: image.version + 1 })
    .where(and(eq(images.id, image.id), eq(images.version, image.version)))
    .returning();
  const moved = rows[0] ?? null;
  if (moved === null || moved.state !== "ready") return moved;
  await nameImage(tx, moved, moved.wantedNames, changes.deadlineAt);
  await tx.update(images).set({ wantedNames: [] }).where(eq(images.id, moved.id));
  return { ...moved, wantedNames: [] };
}
