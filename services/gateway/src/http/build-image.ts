import { api, LIMITS, ListNodes, PlanBuild, RequestBuild } from "@banyan/contracts";
import { z } from "zod";
import type { Built } from "../builds/follow-build.ts";
import { requestBuild } from "../builds/request-build.ts";
import { preferredWaitS } from "../domain/prefer.ts";
import { buildView } from "../views/build.ts";
import { imageView } from "../views/image.ts";
import type { Gateway } from "./gateway.ts";
import { type Call, type Reply, route } from "./route.ts";

/** What `Prefer: wait` may ask for; a stream waits for the build's own end. */
export const WAIT_S_MAX = 600;
export const STREAM_TYPE = "text/event-stream";
export const PREFER_WAIT = `\`wait=<seconds>\`, at most ${WAIT_S_MAX}: how long to wait for the end.`;

const BuildImageQuery = z.strictObject({
  dry_run: z.enum(["true", "false"]).default("false").describe("Answer what would be done, and do nothing."),
});

const buildImage = route({
  method: "POST",
  path: "/v1/images",
  operationId: "buildImage",
  tag: "images",
  summary: `Make an image of a spec, or find it made. With \`Accept: ${STREAM_TYPE}\` its events as they happen, at last \`image\` or \`problem\``,
  access: "member",
  query: BuildImageQuery,
  body: api.BuildImageBody,
  headers: { Prefer: PREFER_WAIT },
  replies: {
    200: { description: "It is ready; or, with `dry_run`, the plan.", schema: z.union([api.BuiltImage, api.BuildPlan]), type: STREAM_TYPE },
    202: { description: "It is being built: follow GET /v1/builds/{id}/events.", schema: api.BuiltImage },
  },
  errors: [...RequestBuild.errors, "build.step_failed", "build.package_not_found", "build.disk_full", "build.network"],
  // The same spec is the same build, so a repeat joins it; and secrets come nowhere near the database.
  harmless: true,
  lastEvent: ({ status }) => (status === 202 ? "pending" : "image"),
  async handle(call, gateway) {
    if (call.query.dry_run === "true") return { status: 200, body: await plan(call, gateway) };
    const { spec, name, secrets, force } = call.body;
    const built = await requestBuild(
      gateway,
      { orgId: call.caller.orgId, spec, name, secrets, force },
      { ...call, waitMs: waitMsOf(call) },
    );
    return builtReply(built, call.header("prefer"));
  },
});

function waitMsOf({ header, sink }: Pick<Call<unknown, unknown>, "header" | "sink">): number {
  if (sink !== null) return LIMITS.buildTimeoutSMax * 1_000;
  return (preferredWaitS(header("prefer"), WAIT_S_MAX) ?? 0) * 1_000;
}

function builtReply({ build, image }: Built, prefer: string | undefined): Reply {
  const waitedS = preferredWaitS(prefer, WAIT_S_MAX);
  const headers = {
    ...(waitedS !== null && { "preference-applied": `wait=${waitedS}` }),
    ...(image.state !== "ready" && { location: `/v1/builds/${build.id}` }),
  };
  return { status: image.state === "ready" ? 200 : 202, body: { image: imageView(image), build: buildView(build) }, headers };
}

async function plan({ caller, body }: Call<unknown, api.BuildImageBody>, { bus }: Gateway): Promise<api.BuildPlan> {
  const [planned, { nodes }] = await Promise.all([
    bus.call(PlanBuild, { orgId: caller.orgId, spec: body.spec }, { retry: true }),
    bus.call(ListNodes, {}),
  ]);
  const { base } = planned;
  return {
    key: planned.key,
    cached: planned.cached,
    image_id: planned.imageId,
    base: base && { reference: base.reference, pinned_to: base.pinnedTo },
    steps: planned.steps,
    estimated_ms: planned.estimatedMs,
    warm_slots: nodes.filter(({ state, reachable }) => reachable && state === "ready").reduce((sum, { pool }) => sum + pool.free, 0),
    warnings: planned.warnings,
  };
}

export const buildImageRoutes = [buildImage];
