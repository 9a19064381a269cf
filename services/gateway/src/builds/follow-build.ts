import { type Build, fault, GetBuild, type Image, isErrorCode, LIMITS, ReadBuildEvents } from "@banyan/contracts";
import type { AppError } from "@banyan/kernel";
import { type EventsAsked, type Follow, followEvents } from "../events/follow-events.ts";
import type { Gateway } from "../http/gateway.ts";
import { buildEventView } from "../views/build.ts";

export interface BuildRef {
  orgId: string;
  buildId: string;
}

const ENDED: readonly Build["state"][] = ["ready", "failed", "cancelled"];
export const hasEnded = ({ state }: Build): boolean => ENDED.includes(state);

/** Follows a build to its end, or for `waitMs`. Answers whether it ended. */
export function followBuild({ bus, clock }: Gateway, ref: BuildRef, follow: Follow): Promise<boolean> {
  const read = async ({ signal, ...asked }: EventsAsked) => {
    const { events, ended } = await bus.call(ReadBuildEvents, { ...ref, ...asked, limit: LIMITS.buildEventsPage }, { signal });
    return { events: events.map((event) => ({ seq: event.seq, event: event.event.kind, data: buildEventView(event) })), ended };
  };
  return followEvents(clock, read, follow);
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
