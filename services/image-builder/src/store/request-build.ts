import { fault, LIMITS } from "@banyan/contracts";
import type { Database, Transaction } from "@banyan/db";
import { and, count, eq, isNull, sql } from "drizzle-orm";
import { decideRequest, type RequestDecision } from "../domain/decide-request.ts";
import { appendEvents } from "./append-events.ts";
import { moveImage } from "./apply-transition.ts";
import { findLastBuild } from "./find-build.ts";
import { nameImage } from "./name-image.ts";
import { type BuildRow, builds, type ImageRow, imageNames, images } from "./schema.ts";

export interface Request {
  /** What they are where there is none of this key yet. */
  image: ImageRow;
  build: BuildRow;
  /** With its tag. */
  name: string | null;
  force: boolean;
  now: number;
  /** Builds of the organisation that may wait or run. */
  unfinishedMax: number;
}

export interface Requested {
  decision: RequestDecision;
  image: ImageRow;
  build: BuildRow;
}

/** Finds or makes the image of a key and its build. The image's row is the lock: of many at once one makes the build, the others find it. */
export function requestBuild(db: Database, request: Request): Promise<Requested> {
  return db.transaction(async (tx) => {
    await tx.insert(images).values(request.image).onConflictDoNothing();
    const [image] = await tx
      .select()
      .from(images)
      .where(and(sql`coalesce(${images.orgId}, '') = ${request.image.orgId ?? ""}`, eq(images.key, request.image.key)))
      .for("update");
    if (image === undefined) throw fault("database.unavailable", {}, { message: "The image was deleted at the same time." });
    const last = await findLastBuild(tx, image.id);
    const decision = decideRequest(image.state, last && { state: last.state, endedAt: last.endedAt?.getTime() ?? null }, request);
    if (decision === "build" || last === null) return { ...(await begin(tx, request, image, last)), decision: "build" as const };
    if (request.name !== null) await giveName(tx, request, image);
    return { decision, image, build: last };
  });
}

async function begin(
  tx: Transaction,
  request: Request,
  image: ImageRow,
  last: BuildRow | null,
): Promise<{ image: ImageRow; build: BuildRow }> {
  const { now, build } = request;
  const [{ unfinished } = { unfinished: 0 }] = await tx
    .select({ unfinished: count() })
    .from(builds)
    .where(and(eq(builds.orgId, build.orgId), isNull(builds.endedAt)));
  if (unfinished >= request.unfinishedMax) throw fault("build.too_many", { unfinished, retryAfterMs: 5_000 });
  const moved = last === null ? image : await moveImage(tx, image, "retry", { deadlineAt: new Date(now), error: null });
  if (moved === null) throw fault("database.unavailable", {}, { message: "The image was moved at the same time." });
  const [inserted] = await tx
    .insert(builds)
    .values({ ...build, imageId: moved.id })
    .returning();
  if (inserted === undefined) throw new Error("a build was not inserted");
  await appendEvents(tx, inserted, [{ at: now, event: { kind: "state", state: "queued" } }]);
  if (request.name !== null) await giveName(tx, request, moved);
  return { image: moved, build: { ...inserted, events: 1 } };
}

/** At once where it is ready; else it waits with the image. */
async function giveName(tx: Transaction, { name, now }: Request, image: ImageRow): Promise<void> {
  if (name === null || image.state === "failed") return;
  const held = await tx.select({ name: imageNames.name }).from(imageNames).where(eq(imageNames.imageId, image.id));
  const names = new Set([...held.map((row) => row.name), ...image.wantedNames]);
  if (names.has(name)) return;
  if (names.size >= LIMITS.namesPerImage)
    throw fault("request.invalid", { issues: [`name: an image has at most ${LIMITS.namesPerImage}`] });
  if (image.state === "ready") return nameImage(tx, image, [name], new Date(now));
  await tx
    .update(images)
    .set({ wantedNames: [...image.wantedNames, name] })
    .where(eq(images.id, image.id));
}
