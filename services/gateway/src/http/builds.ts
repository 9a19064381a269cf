import { api, BuildId, CancelBuild, fault, GetBuild, ImageId, LIMITS, ListBuilds, ReadBuildEvents } from "@banyan/contracts";
import { z } from "zod";
import { type BuildRef, followBuild } from "../builds/follow-build.ts";
import { lastHeard } from "../events/follow-events.ts";
import { buildEventView, buildView } from "../views/build.ts";
import { imageView } from "../views/image.ts";
import { STREAM_TYPE } from "./build-image.ts";
import type { Gateway } from "./gateway.ts";
import { type Call, type EventSink, type Reply, route } from "./route.ts";

const PAGE_DEFAULT = 50;

function buildOf({ caller, params }: Pick<Call<unknown, unknown>, "caller" | "params">): BuildRef {
  const id = params.id ?? "";
  if (!BuildId.safeParse(id).success) throw fault("build.not_found", { id });
  return { orgId: caller.orgId, buildId: id };
}

const ListBuildsQuery = z.strictObject({
  image: ImageId.optional().describe("Only those of this image."),
  cursor: BuildId.optional().describe("`next_cursor` of the page before."),
  limit: z.coerce.number().int().min(1).max(LIMITS.pageSize).default(PAGE_DEFAULT),
});

const listBuilds = route({
  method: "GET",
  path: "/v1/builds",
  operationId: "listBuilds",
  tag: "builds",
  summary: "List your organisation's builds, newest first",
  access: "member",
  query: ListBuildsQuery,
  replies: { 200: { description: "A page of them.", schema: api.BuildPage } },
  errors: ListBuilds.errors,
  async handle({ caller, query }, { bus }) {
    const { image: imageId = null, cursor = null, limit } = query;
    const page = await bus.call(ListBuilds, { orgId: caller.orgId, imageId, cursor, limit });
    return { status: 200, body: { builds: page.builds.map(buildView), next_cursor: page.nextCursor } };
  },
});

const getBuild = route({
  method: "GET",
  path: "/v1/builds/{id}",
  operationId: "getBuild",
  tag: "builds",
  summary: "Look at a build",
  access: "member",
  replies: { 200: { description: "As it is.", schema: api.BuiltImage } },
  errors: GetBuild.errors,
  async handle(call, { bus }) {
    const { build, image } = await bus.call(GetBuild, buildOf(call));
    return { status: 200, body: { image: imageView(image), build: buildView(build) } };
  },
});

const cancelBuild = route({
  method: "POST",
  path: "/v1/builds/{id}/cancel",
  operationId: "cancelBuild",
  tag: "builds",
  summary: "End a build that is under way",
  access: "member",
  replies: { 200: { description: "It has ended, by this or before.", schema: api.Build } },
  errors: CancelBuild.errors,
  deadlineMs: () => CancelBuild.deadlineMs,
  async handle(call, { bus }) {
    const { build } = await bus.call(CancelBuild, buildOf(call));
    return { status: 200, body: buildView(build) };
  },
});

const readBuildEvents = route({
  method: "GET",
  path: "/v1/builds/{id}/events",
  operationId: "readBuildEvents",
  tag: "builds",
  summary:
    "Follow what a build does to its end, or read what it did: events `log`, `step`, `state`. With `Accept: application/json` one page",
  access: "member",
  query: api.BuildEventsQuery,
  headers: { "Last-Event-ID": "The number of the last event that was heard: goes on after it." },
  replies: { 200: { description: "A stream of them; or a page.", schema: api.BuildEventPage, type: STREAM_TYPE } },
  errors: ReadBuildEvents.errors,
  async handle(call, gateway) {
    const ref = buildOf(call);
    if ((call.header("accept") ?? "").includes("application/json")) return eventPage(ref, call.query, gateway);
    // A build that is not there is an answer, not an event.
    await gateway.bus.call(GetBuild, ref);
    const after = lastHeard(call.header("last-event-id")) ?? call.query.after;
    return { status: 200, events: (sink: EventSink) => followToEnd(gateway, ref, after, sink) };
  },
});

async function eventPage(ref: BuildRef, query: z.output<typeof api.BuildEventsQuery>, { bus }: Gateway): Promise<Reply> {
  const { after, limit, wait_ms: waitMs } = query;
  const page = await bus.call(ReadBuildEvents, { ...ref, after, limit, waitMs });
  const body: z.output<typeof api.BuildEventPage> = {
    events: page.events.map(buildEventView),
    ended: page.ended,
    next_after: page.events.at(-1)?.seq ?? after,
  };
  return { status: 200, body };
}

async function followToEnd(gateway: Gateway, ref: BuildRef, after: number, sink: EventSink): Promise<void> {
  await followBuild(gateway, ref, { sink, after, waitMs: LIMITS.buildTimeoutSMax * 1_000, gone: sink.gone });
}

export const buildRoutes = [listBuilds, getBuild, cancelBuild, readBuildEvents];
