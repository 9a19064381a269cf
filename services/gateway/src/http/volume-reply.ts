import { type api, fault, GetVolume } from "@banyan/contracts";
import type { z } from "zod";
import { preferredWaitS } from "../domain/prefer.ts";
import { isCopied, volumeView } from "../views/volume.ts";
import { settled } from "../volumes/await-copy.ts";
import { PREFER_WAIT, WAIT_S_MAX } from "./build-image.ts";
import type { Gateway } from "./gateway.ts";
import type { Call, Reply, RouteDescription } from "./route.ts";

type Any = Call<unknown, unknown>;

export const COPY_HEADERS = { Prefer: PREFER_WAIT };

/** Of a route whose copying may go on after the call. */
export const copyReplies = (done: 200 | 201, description: string, schema: z.ZodType): RouteDescription["replies"] => ({
  [done]: { description, schema },
  202: { description: "Its content is still being copied: see its `progress`.", schema },
});

/** By its id or name; which of them it is, and whether it is there, its owner says. */
export function volumeOf({ caller, params }: Pick<Any, "caller" | "params">): { orgId: string; volume: string } {
  return { orgId: caller.orgId, volume: params.id ?? "" };
}

/** A copy may go on after the call, and the caller may want to wait for its end. */
export function replyOf(body: api.Volume | api.VolumeVersion, { header }: Any, done: 200 | 201): Reply {
  const waitedS = preferredWaitS(header("prefer"), WAIT_S_MAX);
  const location = "volume_id" in body ? `/v1/volumes/${body.volume_id}/versions/${body.id}` : `/v1/volumes/${body.id}`;
  return {
    status: isCopied(body) ? 202 : done,
    body,
    headers: { location, ...(waitedS !== null && { "preference-applied": `wait=${waitedS}` }) },
  };
}

/** Throws volume.not_ready where it came to nothing while the caller waited: a reply like the one for a volume that is there would be overlooked. */
export async function settleVolume(call: Any, gateway: Gateway, reply: Reply, done: 200 | 201): Promise<Reply> {
  const made = reply.body as api.Volume;
  const ref = { orgId: call.caller.orgId, volume: made.id };
  const look = async () => volumeView((await gateway.bus.call(GetVolume, ref, { retry: true })).volume);
  const seen = await settled(gateway, call, made, look);
  if (seen.state === "failed") throw fault("volume.not_ready", { volumeId: seen.id, state: seen.state, reason: seen.state_reason });
  return replyOf(seen, call, done);
}
