import { api, CreateVolume, DeleteVolume, fault, GetVolume, GetVolumeUsers, ListVolumes, UpdateVolume } from "@banyan/contracts";
import { z } from "zod";
import { backendOf, usersView, volumeView } from "../views/volume.ts";
import { labelsOf } from "./labels.ts";
import { route } from "./route.ts";
import { COPY_HEADERS, replyOf, settleVolume, volumeOf } from "./volume-reply.ts";

const createVolume = route({
  method: "POST",
  path: "/v1/volumes",
  operationId: "createVolume",
  tag: "volumes",
  summary: "Make a volume: files that any number of sandboxes mount",
  access: "member",
  body: api.CreateVolumeBody,
  makes: "vol",
  headers: COPY_HEADERS,
  replies: {
    201: { description: "It is there, empty.", schema: api.Volume },
    202: { description: "It is still being made.", schema: api.Volume },
  },
  errors: [...CreateVolume.errors, "auth.not_admin"],
  // No fingerprint is made of a secret.
  withheld: ["remote.secrets"],
  deadlineMs: () => CreateVolume.deadlineMs,
  async handle(call, { bus, objectVolumes }) {
    const { caller, body, resourceId: volumeId } = call;
    // Whoever names an endpoint has a node of ours reach into its network.
    if (body.backend === "object" && objectVolumes === "off")
      throw fault("volume.unsupported", { backend: "object" }, { message: "Volumes of the backend `object` are switched off here." });
    if (body.backend === "object" && objectVolumes === "admin" && caller.role !== "admin") throw fault("auth.not_admin");
    const { name, labels, quota_mb: quotaMb } = body;
    const order = { orgId: caller.orgId, volumeId, name, labels, quotaMb, backend: backendOf(body), from: null };
    const { volume } = await bus.call(CreateVolume, order, { retry: true });
    return replyOf(volumeView(volume), call, 201);
  },
  settle: (call, gateway, reply) => settleVolume(call, gateway, reply, 201),
});

const listVolumes = route({
  method: "GET",
  path: "/v1/volumes",
  operationId: "listVolumes",
  tag: "volumes",
  summary: "List your organisation's volumes, newest first",
  access: "member",
  query: api.ListVolumesQuery,
  repeated: ["label"],
  replies: { 200: { description: "A page of them.", schema: api.VolumePage } },
  errors: ListVolumes.errors,
  async handle({ caller, query }, { bus }) {
    const { label, cursor = null, limit } = query;
    const page = await bus.call(ListVolumes, { orgId: caller.orgId, labels: labelsOf(label), cursor, limit });
    return { status: 200, body: { volumes: page.volumes.map(volumeView), next_cursor: page.nextCursor } };
  },
});

const getVolume = route({
  method: "GET",
  path: "/v1/volumes/{id}",
  operationId: "getVolume",
  tag: "volumes",
  summary: "Look at a volume, by id or name: its state, usage and quota",
  access: "member",
  replies: { 200: { description: "As it is.", schema: api.Volume } },
  errors: GetVolume.errors,
  async handle(call, { bus }) {
    const { volume } = await bus.call(GetVolume, volumeOf(call));
    return { status: 200, body: volumeView(volume) };
  },
});

const updateVolume = route({
  method: "PATCH",
  path: "/v1/volumes/{id}",
  operationId: "updateVolume",
  tag: "volumes",
  summary: "Change a volume's name, labels or quota",
  access: "member",
  body: api.UpdateVolumeBody,
  replies: { 200: { description: "As it is now.", schema: api.Volume } },
  errors: UpdateVolume.errors,
  deadlineMs: () => UpdateVolume.deadlineMs,
  async handle(call, { bus }) {
    const { name, labels, quota_mb: quotaMb } = call.body;
    // Only what was given: an absent field stays as it is.
    const changes = { ...(name !== undefined && { name }), ...(labels && { labels }), ...(quotaMb !== undefined && { quotaMb }) };
    const { volume } = await bus.call(UpdateVolume, { ...volumeOf(call), ...changes });
    return { status: 200, body: volumeView(volume) };
  },
});

const deleteVolume = route({
  method: "DELETE",
  path: "/v1/volumes/{id}",
  operationId: "deleteVolume",
  tag: "volumes",
  summary: "Delete a volume with all its versions; refused while sandboxes have it among their mounts, with which",
  access: "member",
  query: api.DeleteVolumeQuery,
  replies: {
    202: { description: "It is there for nobody any more; its files go in time.", schema: z.object({ state: z.literal("deleting") }) },
    204: { description: "It is gone." },
  },
  errors: DeleteVolume.errors,
  deadlineMs: () => DeleteVolume.deadlineMs,
  async handle(call, { bus }) {
    const { state } = await bus.call(DeleteVolume, { ...volumeOf(call), force: call.query.force === "true" });
    return state === "deleted" ? { status: 204 } : { status: 202, body: { state } };
  },
});

const listVolumeUsers = route({
  method: "GET",
  path: "/v1/volumes/{id}/users",
  operationId: "listVolumeUsers",
  tag: "volumes",
  summary: "Which sandboxes have a volume among their mounts, running or not",
  access: "member",
  replies: { 200: { description: "At most 100 of them, and how many there are.", schema: api.VolumeUsers } },
  errors: GetVolumeUsers.errors,
  deadlineMs: () => GetVolumeUsers.deadlineMs,
  async handle(call, { bus }) {
    return { status: 200, body: usersView(await bus.call(GetVolumeUsers, volumeOf(call))) };
  },
});

export const volumeRoutes = [createVolume, listVolumes, getVolume, updateVolume, deleteVolume, listVolumeUsers];
