import { type Build, fault, GetBuild, type Image, isErrorCode, isFault, LIMITS, ReadBuildEvents } from "@banyan/contracts";
import type { AppError } from "@banyan/kernel";
import type { Gateway } from "../http/gateway.ts";
import type { EventSink } from "../http/route.ts";
import { buildEventView } from "../views/build.ts";

/** How long one call waits for the next event. */
const EVENT_WAIT_MS = 10_000;
/** While the builder is away, as it is for a moment when it is started again. */
const AWAY_PAUSE_MS = 500;
/** After the last event there can be: asks for nothing but the end. */
const AFTER_ALL = 2 ** 31 - 1;

export interface BuildRef {
  orgId: string;
  buildId: string;
}

export interface Follow {
  /** Hears every event; null: only the end counts. */
  sink: EventSink | null;
  after?: number;
  waitMs: number;
  gone: AbortSignal;
}

const ENDED: readonly Build["state"][] = ["ready", "failed", "cancelled"];
export const hasEnded = ({ state }: Build): boolean => ENDED.includes(state);

/** Follows a build to its end, or for `waitMs`, across restarts of the builder. Answers whether it ended. Throws where nobody waits any more. */
export async function followBuild({ bus, clock }: Gateway, ref: BuildRef, { sink, after, waitMs, gone }: Follow): Promise<boolean> {
  const endsMs = clock.monotonicMs() + waitMs;
  let last = sink === null ? AFTER_ALL : (after ?? 0);
  for (let leftMs = waitMs; leftMs > 0; leftMs = endsMs - clock.monotonicMs()) {
    const ask = { ...ref, after: last, limit: LIMITS.buildEventsPage, waitMs: Math.floor(Math.min(leftMs, EVENT_WAIT_MS)) };
    try {
      const page = await bus.call(ReadBuildEvents, ask, { signal: gone });
      for (const event of sink === null ? [] : page.events) {
        await sink?.say(event.event.kind, buildEventView(event), event.seq);
        last = event.seq;
      }
      if (page.ended) return true;
      if (page.events.length === 0) await sink?.alive();
    } catch (error) {
      if (gone.aborted) throw clientGone();
      if (!isFault(error, "bus.unavailable", "bus.timeout", "database.unavailable")) throw error;
      await clock.sleep(Math.min(leftMs, AWAY_PAUSE_MS));
      await sink?.alive();
    }
  }
  return false;
}

/** Its outcome is not known to anyone: the build goes on. */
export function clientGone(): AppError {
  return fault("request.timeout", {}, { message: "The client went away." });
}

export interface Built {
  build: Build;
  image: Image;
}

/** Waits for the end of a build that was requested, and answers how it stands. */
export async function settled(gateway: Gateway, built: Built, orgId: string, follow: Follow): Promise<Built> {
  if (hasEnded(built.build)) return built;
  const ref = { orgId, buildId: built.build.id };
  await followBuild(gateway, ref, follow);
  return gateway.bus.call(GetBuild, ref, { retry: true });
}

/** Why a build gave no image; null where it did, or may still. */
export function failureOf({ build, image }: Built): AppError | null {
  if (build.state === "cancelled") return fault("build.cancelled", { buildId: build.id, imageId: image.id });
  if (build.state !== "failed") return null;
  const { failure } = build;
  const code = failure !== null && isErrorCode(failure.code) ? failure.code : "build.step_failed";
  const details = { buildId: build.id, imageId: image.id, step: failure?.step ?? null, exitCode: failure?.exitCode ?? null };
  const lastLines = failure?.lastLines ?? [];
  return fault(code, { ...details, lastLines, ...(failure && { fix: failure.fix }) }, { ...(failure && { message: failure.message }) });
}
