import {
  api,
  DeleteImage,
  fault,
  GetImage,
  type Image,
  ImageId,
  ImageName,
  LIMITS,
  ListImages,
  ListLayerUsers,
  NameImage,
  UnnameImage,
} from "@banyan/contracts";
import { z } from "zod";
import { imageDetailsView, imageView } from "../views/image.ts";
import type { Gateway } from "./gateway.ts";
import { type Call, route } from "./route.ts";

const PAGE_DEFAULT = 50;
type Where = Pick<Call<unknown, unknown>, "caller" | "params">;

/** By its id, or a name of it. */
async function imageOf({ caller, params }: Where, { bus }: Gateway): Promise<Image> {
  const { image } = await bus.call(GetImage, { orgId: caller.orgId, name: params.id ?? "" });
  return image;
}

/** What a name led to may be another image a moment later, so what changes one takes its id. */
function imageIdOf({ caller, params }: Where): { orgId: string; imageId: string } {
  const id = params.id ?? "";
  if (!ImageId.safeParse(id).success) throw fault("image.not_found", { image: id });
  return { orgId: caller.orgId, imageId: id };
}

const ListImagesQuery = z.strictObject({
  kind: z.enum(api.IMAGE_KINDS).optional(),
  cursor: ImageId.optional().describe("`next_cursor` of the page before."),
  limit: z.coerce.number().int().min(1).max(LIMITS.pageSize).default(PAGE_DEFAULT),
});

const listImages = route({
  method: "GET",
  path: "/v1/images",
  operationId: "listImages",
  tag: "images",
  summary: "List the images a sandbox can be made from, newest first",
  access: "member",
  query: ListImagesQuery,
  replies: { 200: { description: "A page of those your organisation sees.", schema: api.ImagePage } },
  errors: ListImages.errors,
  async handle({ caller, query }, { bus }) {
    const { kind, cursor = null, limit } = query;
    const page = await bus.call(ListImages, { orgId: caller.orgId, cursor, limit, ...(kind !== undefined && { kind }) });
    return { status: 200, body: { images: page.images.map(imageView), next_cursor: page.nextCursor } };
  },
});

const getImage = route({
  method: "GET",
  path: "/v1/images/{id}",
  operationId: "getImage",
  tag: "images",
  summary: "Look at an image, by id or name: its layers, history, settings, and how many sandboxes use it",
  access: "member",
  replies: { 200: { description: "As it is.", schema: api.ImageDetails } },
  errors: GetImage.errors,
  missing: "image.not_found",
  async handle(call, gateway) {
    const image = await imageOf(call, gateway);
    return { status: 200, body: imageDetailsView(image, await usersOf(image, gateway)) };
  },
});

/** Of an image that all see, who else uses it is nobody's business. */
async function usersOf(image: Image, { bus }: Gateway): Promise<{ count: number; sandboxIds: string[] }> {
  if (image.orgId === null) return { count: 0, sandboxIds: [] };
  return bus.call(ListLayerUsers, { imageId: image.id, digests: [] });
}

const nameImage = route({
  method: "PUT",
  path: "/v1/images/{id}/names",
  operationId: "nameImage",
  tag: "images",
  summary: "Give an image one name more; another image of yours that had it loses it",
  access: "member",
  body: api.NameImageBody,
  replies: { 200: { description: "It has the name.", schema: api.Image } },
  errors: NameImage.errors,
  missing: "image.not_found",
  async handle(call, { bus }) {
    const { image } = await bus.call(NameImage, { ...imageIdOf(call), name: call.body.name });
    return { status: 200, body: imageView(image) };
  },
});

const UnnameImageQuery = z.strictObject({ name: ImageName });

const unnameImage = route({
  method: "DELETE",
  path: "/v1/images/{id}/names",
  operationId: "unnameImage",
  tag: "images",
  summary: "Take a name from an image",
  access: "member",
  query: UnnameImageQuery,
  replies: { 204: { description: "The name leads nowhere now." } },
  errors: UnnameImage.errors,
  missing: "image.not_found",
  async handle(call, gateway) {
    const { imageId, orgId } = imageIdOf(call);
    const { name } = call.query;
    const { image } = await gateway.bus.call(GetImage, { orgId, name });
    if (image.id !== imageId) throw fault("image.not_found", { image: imageId, name });
    await gateway.bus.call(UnnameImage, { orgId, name });
    return { status: 204 };
  },
});

const deleteImage = route({
  method: "DELETE",
  path: "/v1/images/{id}",
  operationId: "deleteImage",
  tag: "images",
  summary: "Delete an image that nothing uses",
  access: "member",
  replies: { 204: { description: "It is gone; its layers go when nothing else has them." } },
  errors: DeleteImage.errors,
  missing: "image.not_found",
  deadlineMs: () => DeleteImage.deadlineMs,
  async handle(call, { bus }) {
    await bus.call(DeleteImage, imageIdOf(call));
    return { status: 204 };
  },
});

export const imageRoutes = [listImages, getImage, nameImage, unnameImage, deleteImage];
