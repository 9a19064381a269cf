import type { api, CreateSandbox, OutputOf } from "@banyan/contracts";
import { sandboxView, timingView } from "../views/sandbox.ts";
import type { Reply } from "./route.ts";

export type Started = OutputOf<typeof CreateSandbox>;

/** What the gateway waits for beyond the time a slot may take. */
export const RPC_MARGIN_MS = 5_000;

/** `bringUpMs`: what its image had done after the start took. */
export function startedReply(status: 200 | 201, { sandbox, path, timing }: Started, bringUpMs: number): Reply {
  const took = { ...timing, readyMs: timing.readyMs + bringUpMs, totalMs: timing.totalMs + bringUpMs };
  const body: api.StartedSandbox = { ...sandboxView(sandbox), path, timing: timingView(took) };
  return { status, body, headers: { "server-timing": serverTiming(body.timing) } };
}

/** `queue_ms: 0.04` as `queue;dur=0.04`. */
function serverTiming(timing: api.StartedSandbox["timing"]): string {
  return Object.entries(timing)
    .map(([name, durationMs]) => `${name.replace(/_ms$/, "")};dur=${durationMs}`)
    .join(", ");
}
