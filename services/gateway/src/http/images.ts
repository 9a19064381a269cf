import { api, ListImages } from "@banyan/contracts";
import { imageView } from "../views/image.ts";
import { route } from "./route.ts";

const listImages = route({
  method: "GET",
  path: "/v1/images",
  operationId: "listImages",
  tag: "images",
  summary: "List the images a sandbox can be made from",
  access: "member",
  replies: { 200: { description: "All your organisation sees.", schema: api.ImageList } },
  errors: ListImages.errors,
  async handle({ caller }, { bus }) {
    const { images } = await bus.call(ListImages, { orgId: caller.orgId });
    return { status: 200, body: { images: images.map(imageView) } };
  },
});

export const imageRoutes = [listImages];
