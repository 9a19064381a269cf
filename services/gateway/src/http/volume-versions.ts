import { api, CreateVersion, CreateVolume, DeleteVersion, GetVersion, GetVolume, ListVersions, RestoreVolume } from "@banyan/contracts";
import { versionView, volumeView } from "../views/volume.ts";
import { settled } from "../volumes/await-copy.ts";
import type { Gateway } from "./gateway.ts";
import { type Call, type Reply, route } from "./route.ts";
import { COPY_HEADERS, copyReplies, replyOf, settleVolume, volumeOf } from "./volume-reply.ts";

type Any = Call<unknown, unknown>;

const versionOf = (call: Any) => ({ ...volumeOf(call), versionId: call.params.version ?? "" });
async function settleVersion(call: Any, gateway: Gateway, reply: Reply): Promise<Reply> {
  const made = reply.body as api.VolumeVersion;
  const ref = { orgId: call.caller.orgId, volume: made.volume_id, versionId: made.id };
  const look = async () => versionView((await gateway.bus.call(GetVersion, ref, { retry: true })).version);
  return replyOf(await settled(gateway, call, made, look), call, 201);
}

const forkVolume = route({
  method: "POST",
  path: "/v1/volumes/{id}/forks",
  operationId: "forkVolume",
  tag: "volumes",
  summary: "Make another volume with the same content, or that of a version; they go different ways from then on",
  access: "member",
  body: api.ForkVolumeBody,
  makes: "vol",
  headers: COPY_HEADERS,
  replies: copyReplies(201, "It is there.", api.Volume),
  errors: CreateVolume.errors,
  deadlineMs: () => CreateVolume.deadlineMs,
  async handle(call, { bus }) {
    const { caller, body, resourceId: volumeId } = call;
    const { volume: source } = await bus.call(GetVolume, volumeOf(call), { retry: true });
    const { name, labels, version: versionId, quota_mb: quotaMb = source.quotaMb } = body;
    const order = { orgId: caller.orgId, volumeId, name, labels, quotaMb, backend: { kind: "directory" as const } };
    const { volume } = await bus.call(CreateVolume, { ...order, from: { volume: source.id, versionId } }, { retry: true });
    return replyOf(volumeView(volume), call, 201);
  },
  settle: (call, gateway, reply) => settleVolume(call, gateway, reply, 201),
});

const createVersion = route({
  method: "POST",
  path: "/v1/volumes/{id}/versions",
  operationId: "createVolumeVersion",
  tag: "volumes",
  summary: "Freeze a volume's content as a version that never changes; sandboxes mount it with `ro` or `cow`",
  access: "member",
  body: api.CreateVersionBody,
  makes: "ver",
  headers: COPY_HEADERS,
  replies: copyReplies(201, "It is there.", api.VolumeVersion),
  errors: CreateVersion.errors,
  deadlineMs: () => CreateVersion.deadlineMs,
  async handle(call, { bus }) {
    const order = { ...volumeOf(call), versionId: call.resourceId, name: call.body.name };
    const { version } = await bus.call(CreateVersion, order, { retry: true });
    return replyOf(versionView(version), call, 201);
  },
  settle: settleVersion,
});

const listVersions = route({
  method: "GET",
  path: "/v1/volumes/{id}/versions",
  operationId: "listVolumeVersions",
  tag: "volumes",
  summary: "List a volume's versions, newest first",
  access: "member",
  query: api.ListVersionsQuery,
  replies: { 200: { description: "A page of them.", schema: api.VersionPage } },
  errors: ListVersions.errors,
  async handle(call, { bus }) {
    const { cursor = null, limit } = call.query;
    const page = await bus.call(ListVersions, { ...volumeOf(call), cursor, limit });
    return { status: 200, body: { versions: page.versions.map(versionView), next_cursor: page.nextCursor } };
  },
});

const getVersion = route({
  method: "GET",
  path: "/v1/volumes/{id}/versions/{version}",
  operationId: "getVolumeVersion",
  tag: "volumes",
  summary: "Look at a version, by id or name",
  access: "member",
  replies: { 200: { description: "As it is.", schema: api.VolumeVersion } },
  errors: GetVersion.errors,
  async handle(call, { bus }) {
    const { version } = await bus.call(GetVersion, versionOf(call));
    return { status: 200, body: versionView(version) };
  },
});

const deleteVersion = route({
  method: "DELETE",
  path: "/v1/volumes/{id}/versions/{version}",
  operationId: "deleteVolumeVersion",
  tag: "volumes",
  summary: "Delete a version; refused while sandboxes have it among their mounts",
  access: "member",
  query: api.DeleteVolumeQuery,
  replies: { 204: { description: "It is there for nobody any more." } },
  errors: DeleteVersion.errors,
  deadlineMs: () => DeleteVersion.deadlineMs,
  async handle(call, { bus }) {
    await bus.call(DeleteVersion, { ...versionOf(call), force: call.query.force === "true" });
    return { status: 204 };
  },
});

const restoreVolume = route({
  method: "POST",
  path: "/v1/volumes/{id}/restore",
  operationId: "restoreVolume",
  tag: "volumes",
  summary: "Make a volume's content what it was at a version; refused while running sandboxes have it mounted",
  access: "member",
  body: api.RestoreVolumeBody,
  headers: COPY_HEADERS,
  replies: copyReplies(200, "It is what it was.", api.Volume),
  errors: RestoreVolume.errors,
  deadlineMs: () => RestoreVolume.deadlineMs,
  async handle(call, { bus }) {
    const { volume } = await bus.call(RestoreVolume, { ...volumeOf(call), versionId: call.body.version });
    return replyOf(volumeView(volume), call, 200);
  },
  settle: (call, gateway, reply) => settleVolume(call, gateway, reply, 200),
});

export const volumeVersionRoutes = [forkVolume, createVersion, listVersions, getVersion, deleteVersion, restoreVolume];
