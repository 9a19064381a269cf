import { z } from "zod";

/** What every event of long work begins with. */
export const eventHead = { seq: z.int().describe("From 1, without gaps."), at: z.iso.datetime() };

/** One page of events, as JSON. */
export const eventPage = <E extends z.ZodType>(event: E) =>
  z.object({
    events: z.array(event),
    ended: z.boolean().describe("No more will come after these."),
    next_after: z.int().describe("`after` of the next call."),
  });

/** `GET …/events` of a build or a fork. */
export const eventsQuery = (limitMax: number) =>
  z.strictObject({
    after: z.coerce
      .number()
      .int()
      .min(0)
      .max(2 ** 31 - 1)
      .default(0)
      .describe("Only events with a higher number. `Last-Event-ID` goes before it."),
    limit: z.coerce.number().int().min(1).max(limitMax).default(limitMax).describe("Of a page, as JSON."),
    wait_ms: z.coerce.number().int().min(0).max(10_000).default(0).describe("As JSON: how long to wait for the first."),
  });
