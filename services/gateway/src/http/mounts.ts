import { api, MountVolume, UnmountVolume } from "@banyan/contracts";
import { sandboxView } from "../views/sandbox.ts";
import { route } from "./route.ts";
import { sandboxOf } from "./sandboxes.ts";

const mountVolume = route({
  method: "POST",
  path: "/v1/sandboxes/{id}/volumes",
  operationId: "mountVolume",
  tag: "volumes",
  summary: "Mount a volume: into a running sandbox at once, into a stopped one at its next start",
  access: "member",
  body: api.MountVolumeBody,
  replies: { 200: { description: "It is mounted; the same mount again changes nothing.", schema: api.Sandbox } },
  errors: MountVolume.errors,
  deadlineMs: () => MountVolume.deadlineMs,
  async handle(call, { bus }) {
    const { sandbox } = await bus.call(MountVolume, { ...sandboxOf(call), mount: call.body });
    return { status: 200, body: sandboxView(sandbox) };
  },
});

const unmountVolume = route({
  method: "DELETE",
  path: "/v1/sandboxes/{id}/volumes",
  operationId: "unmountVolume",
  tag: "volumes",
  summary: "Unmount the volume at a path; refused while processes use it, unless forced",
  access: "member",
  query: api.UnmountQuery,
  replies: { 200: { description: "It is unmounted.", schema: api.Sandbox } },
  errors: UnmountVolume.errors,
  deadlineMs: () => UnmountVolume.deadlineMs,
  async handle(call, { bus }) {
    const { path, force } = call.query;
    const { sandbox } = await bus.call(UnmountVolume, { ...sandboxOf(call), path, force: force === "true" });
    return { status: 200, body: sandboxView(sandbox) };
  },
});

export const mountRoutes = [mountVolume, unmountVolume];
