import { z } from "zod";
import { BUILD_STATES } from "../build.ts";
import { LIMITS } from "../limits.ts";
import { eventHead, eventPage, eventsQuery } from "./events.ts";
import { Image } from "./image.ts";

export const BuildStep = z.object({
  index: z.int().describe("From 0; -1 is the fetching of the base."),
  title: z.string(),
  state: z.enum(["waiting", "running", "done", "cached", "failed"]),
  duration_ms: z.number().nullable(),
  exit_code: z.int().nullable(),
});

export const Build = z.object({
  id: z.string(),
  image_id: z.string(),
  state: z.enum(BUILD_STATES),
  cached: z.boolean().describe("Nothing had to be done: the image was there."),
  steps: z.array(BuildStep),
  failure: z
    .object({
      code: z.string(),
      message: z.string(),
      fix: z.string(),
      step: z.int().nullable(),
      exit_code: z.int().nullable(),
      last_lines: z.array(z.string()),
    })
    .nullable(),
  attempts: z.int().describe("More than one where a builder was lost in the middle."),
  created_at: z.iso.datetime(),
  started_at: z.iso.datetime().nullable(),
  ended_at: z.iso.datetime().nullable(),
});
export type Build = z.infer<typeof Build>;
export const BuildPage = z.object({ builds: z.array(Build), next_cursor: z.string().nullable() });

/** What `POST /v1/images` answers. */
export const BuiltImage = z.object({ image: Image, build: Build });
export type BuiltImage = z.infer<typeof BuiltImage>;

/** What `POST /v1/images?dry_run=true` answers. */
export const BuildPlan = z.object({
  key: z.string().describe("Equal for equal work."),
  cached: z.boolean().describe("The image is there: nothing would be done."),
  image_id: z.string().nullable(),
  base: z.object({ reference: z.string(), pinned_to: z.string() }).nullable(),
  steps: z.array(z.object({ index: z.int(), title: z.string(), cached: z.boolean() })),
  estimated_ms: z.number().nullable().describe("From what such steps took before; null where nothing is known."),
  warm_slots: z.int().describe("Slots that wait on the nodes now: with one or more a sandbox of it starts warm."),
  warnings: z.array(z.string()),
});
export type BuildPlan = z.infer<typeof BuildPlan>;

/** Still under way when the wait ended. */
export const PendingSandbox = BuiltImage.extend({ fix: z.string() });

export const BuildEvent = z.discriminatedUnion("event", [
  z.object({ ...eventHead, event: z.literal("log"), step: z.int(), stream: z.enum(["stdout", "stderr"]), text: z.string() }),
  z.object({ ...eventHead, event: z.literal("step"), step: BuildStep }),
  z.object({ ...eventHead, event: z.literal("state"), state: z.enum(BUILD_STATES) }),
]);
export type BuildEvent = z.infer<typeof BuildEvent>;
export const BuildEventPage = eventPage(BuildEvent);

/** `GET /v1/builds/{id}/events` */
export const BuildEventsQuery = eventsQuery(LIMITS.buildEventsPage);
