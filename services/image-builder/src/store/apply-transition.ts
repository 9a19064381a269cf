import { type ImageEvent, imageMachine } from "@banyan/contracts";
import { type Database, translate } from "@banyan/db";
import { assert } from "@banyan/kernel";
import { and, eq } from "drizzle-orm";
import { type ImageRow, images } from "./schema.ts";

type Changes = Partial<Pick<ImageRow, "layers" | "origin" | "error" | "attempts">> & Pick<ImageRow, "deadlineAt">;

/** Fenced by the version that was read. Null: somebody else moved it first. */
export async function applyTransition(db: Database, image: ImageRow, event: ImageEvent, changes: Changes): Promise<ImageRow | null> {
  const state = imageMachine.next(image.state, event);
  assert(state !== null, `an image that is ${image.state} cannot be ${event}`);
  const rows = await translate(async () =>
    db.orm
      .update(images)
      .set({ ...changes, state, version: image.version + 1 })
      .where(and(eq(images.id, image.id), eq(images.version, image.version)))
      .returning(),
  );
  return rows[0] ?? null;
}
