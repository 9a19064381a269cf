import { api } from "@banyan/contracts";
import type { Logger } from "@banyan/kernel";
import type { Context } from "hono";
import { streamSSE } from "hono/streaming";
import type { HttpEnv } from "./context.ts";
import { asAppError, logLevelOf } from "./problems.ts";
import type { EventSink } from "./route.ts";

/** Answers with a `text/event-stream` at once. What goes wrong from here on is its last event, `problem`. */
export function streamEvents(c: Context<HttpEnv>, logger: Logger, run: (sink: EventSink) => Promise<void>): Response {
  const requestId = c.get("requestId") ?? "";
  c.header("x-accel-buffering", "no");
  return streamSSE(c, async (stream) => {
    const gone = new AbortController();
    stream.onAbort(() => gone.abort());
    const sink: EventSink = {
      gone: gone.signal,
      say: (event, data, id) => stream.writeSSE({ event, data: JSON.stringify(data), ...(id !== undefined && { id: String(id) }) }),
      alive: async () => void (await stream.write(": working\n\n")),
    };
    try {
      await run(sink);
    } catch (thrown) {
      // Nobody is left to tell.
      if (stream.aborted) return;
      const error = asAppError(thrown);
      logger[logLevelOf(error)](
        { err: error.code === "internal" ? (error.cause ?? error) : error, requestId },
        "a stream ended with a problem",
      );
      await sink.say("problem", api.toProblem(error, requestId));
    }
  });
}
