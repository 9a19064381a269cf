import { api, SnapshotSandbox } from "@banyan/contracts";
import { imageView } from "../views/image.ts";
import { route } from "./route.ts";
import { sandboxOf } from "./sandboxes.ts";

const snapshotSandbox = route({
  method: "POST",
  path: "/v1/sandboxes/{id}/snapshots",
  operationId: "snapshotSandbox",
  tag: "images",
  summary: "Make an image of a sandbox as its files are now; a running one goes on",
  access: "member",
  makes: "img",
  body: api.SnapshotBody,
  replies: { 201: { description: "The image, ready to be used.", schema: api.Snapshot } },
  errors: SnapshotSandbox.errors,
  deadlineMs: () => SnapshotSandbox.deadlineMs,
  async handle(call, { bus }) {
    const order = { ...sandboxOf(call), imageId: call.resourceId, name: call.body.name };
    const { image, way, pausedMs, skipped } = await bus.call(SnapshotSandbox, order);
    const body: api.Snapshot = { ...imageView(image), way, paused_ms: pausedMs, skipped };
    return { status: 201, body };
  },
});

export const snapshotRoutes = [snapshotSandbox];
