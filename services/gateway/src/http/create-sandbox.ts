import { api, CreateSandbox, DeleteSandbox, fault, isFault, RequestBuild } from "@banyan/contracts";
import { AppError } from "@banyan/kernel";
import type { z } from "zod";
import type { Built } from "../builds/follow-build.ts";
import { requestBuild } from "../builds/request-build.ts";
import { preferredWaitS } from "../domain/prefer.ts";
import { buildView } from "../views/build.ts";
import { imageView } from "../views/image.ts";
import { leftToImage, specOf } from "../views/sandbox.ts";
import { bringUp, needsBringUp } from "./bring-up.ts";
import { PREFER_WAIT, STREAM_TYPE, WAIT_S_MAX } from "./build-image.ts";
import type { Gateway } from "./gateway.ts";
import { type Call, type Prepared, type Reply, route } from "./route.ts";
import { RPC_MARGIN_MS, type Started, startedReply } from "./started.ts";

type Creating = Call<unknown, api.CreateSandboxBody>;

const createSandbox = route({
  method: "POST",
  path: "/v1/sandboxes",
  operationId: "createSandbox",
  tag: "sandboxes",
  summary: `Make a sandbox and start it. Of a spec, its image is built first: with \`Accept: ${STREAM_TYPE}\` the build's events, at last \`sandbox\` or \`problem\``,
  access: "member",
  makes: "sbx",
  body: api.CreateSandboxBody,
  headers: { Prefer: `With a spec: ${PREFER_WAIT}` },
  replies: {
    201: { description: "It runs.", schema: api.StartedSandbox, type: STREAM_TYPE },
    202: { description: "Its image is still being built, and nothing is made yet: send the same again.", schema: api.PendingSandbox },
  },
  errors: [...new Set([...CreateSandbox.errors, "sandbox.ready_failed" as const, ...RequestBuild.errors, "build.step_failed" as const])],
  withheld: ["secrets"],
  lastEvent: ({ status }) => (status === 202 ? "pending" : "sandbox"),
  deadlineMs: (body) => body.wait_ms + RPC_MARGIN_MS,
  prepare: (call, gateway) => (typeof call.body.image === "string" ? null : buildFirst(call, gateway)),
  async handle(call, gateway) {
    const { caller, body, resourceId } = call;
    if (typeof body.image !== "string") throw fault("internal", {}, { cause: new Error("a spec has become an image before") });
    const order = {
      orgId: caller.orgId,
      id: resourceId,
      spec: specOf(body, body.image),
      quota: caller.quota,
      deadlineMs: body.wait_ms,
      leftToImage: leftToImage(body.limits),
    };
    const started = await gateway.bus.call(CreateSandbox, order, { deadlineMs: body.wait_ms + RPC_MARGIN_MS });
    gateway.routes.remember(started.route);
    if (!needsBringUp(started)) return startedReply(201, started, 0);
    return startedReply(201, started, await bringUpOrDelete(call, gateway, started));
  },
});

/** A spec becomes the id of its image: by one call where it is there, else by a build that the caller waits for or hears of. */
async function buildFirst(call: Creating, gateway: Gateway): Promise<Prepared<api.CreateSandboxBody>> {
  const { body, caller } = call;
  const spec = body.image;
  if (typeof spec === "string") return { body };
  const order = { orgId: caller.orgId, spec, name: null, secrets: body.secrets, force: false };
  const waitMs = (preferredWaitS(call.header("prefer"), WAIT_S_MAX) ?? WAIT_S_MAX) * 1_000;
  const built = await requestBuild(gateway, order, { sink: call.sink, gone: call.gone, waitMs });
  return built.image.state === "ready" ? { body: { ...body, image: built.image.id } } : { reply: pending(built) };
}

function pending({ build, image }: Built): Reply {
  const body: z.output<typeof api.PendingSandbox> = {
    image: imageView(image),
    build: buildView(build),
    fix: `Send the same request again, with the same Idempotency-Key; or follow GET /v1/builds/${build.id}/events.`,
  };
  return { status: 202, body, headers: { location: `/v1/builds/${build.id}` } };
}

async function bringUpOrDelete({ body, gone }: Creating, gateway: Gateway, started: Started): Promise<number> {
  try {
    return await bringUp(gateway, started, gone());
  } catch (error) {
    if (!isFault(error, "sandbox.ready_failed")) throw error;
    const { id, orgId } = started.sandbox;
    const kept = body.on_unready === "keep";
    if (!kept) {
      gateway.routes.forget(id);
      await gateway.bus.call(DeleteSandbox, { orgId, id });
    }
    const { kind, code, message, details, cause } = error;
    throw new AppError({ kind, code, message, details: { ...details, kept }, cause });
  }
}

export const createSandboxRoutes = [createSandbox];
