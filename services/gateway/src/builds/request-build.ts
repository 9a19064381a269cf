import { type ImageSpec, RequestBuild } from "@banyan/contracts";
import type { Gateway } from "../http/gateway.ts";
import type { EventSink } from "../http/route.ts";
import { type Built, failureOf, settled } from "./follow-build.ts";

export interface BuildOrder {
  orgId: string;
  spec: ImageSpec;
  name: string | null;
  secrets: Record<string, string>;
  force: boolean;
}

export interface BuildWait {
  /** 0: the answer is how it stands now. */
  waitMs: number;
  sink: EventSink | null;
  gone(): AbortSignal;
}

/** One call where the image is there already. Throws why a build failed; else the image is ready, or the wait has ended. */
export async function requestBuild(gateway: Gateway, order: BuildOrder, { waitMs, sink, gone }: BuildWait): Promise<Built> {
  const requested = await gateway.bus.call(RequestBuild, order, { retry: true });
  const built =
    requested.image.state === "ready" || waitMs === 0
      ? requested
      : await settled(gateway, requested, order.orgId, { sink, waitMs, gone: gone() });
  const failure = failureOf(built);
  if (failure !== null) throw failure;
  return built;
}
