import { api, type ErrorCode } from "@banyan/contracts";
import { z } from "zod";
import { BYTES, FILE_SHAPES, ok, type Shape } from "./file-shapes.ts";
import type { RouteDescription } from "./route.ts";

/** The routes that the volume-manager answers. Described here for the document; what is below them is forwarded as it is. */

const VOLUME = "/v1/volumes/{id}";
const ANY: readonly ErrorCode[] = ["volume.not_found", "volume.not_ready", "volume.unreachable"];
const FILE: readonly ErrorCode[] = [
  ...ANY,
  "volume.version_not_found",
  "volume.no_space",
  "file.not_found",
  "file.permission_denied",
  "file.not_a_directory",
  "file.failed",
];
const UPLOAD: readonly ErrorCode[] = [...ANY, "volume.no_space", "upload.not_found"];

const version = z.string().min(1).max(255).optional().describe("The name or id of a version. Default: the content as it is.");

/** The same as of a sandbox's files, but that nobody in particular does it, and that what reads may read a version. */
function ofVolume({ method, path, operationId, query, body, ...shape }: Shape): RouteDescription {
  const reads = method === "GET" || method === "HEAD";
  return {
    ...shape,
    method,
    path: `${VOLUME}${path}`,
    operationId: `${operationId}OfVolume`,
    tag: "volume files",
    access: "member",
    errors: FILE,
    ...(query instanceof z.ZodObject && { query: reads ? withoutUser(query).extend({ version }) : withoutUser(query) }),
    ...(body instanceof z.ZodObject && { body: withoutUser(body) }),
  };
}

function withoutUser({ shape }: z.ZodObject): z.ZodObject {
  const { user: _user, ...rest } = shape;
  return z.strictObject(rest);
}

const uploads: RouteDescription[] = (
  [
    {
      method: "POST",
      path: "/uploads",
      operationId: "createUpload",
      summary: "Begin a large file in parts; nothing of it is seen before it is complete",
      body: api.CreateUploadBody,
      replies: { 201: { description: "Send its parts.", schema: api.Upload } },
    },
    {
      method: "GET",
      path: "/uploads/{upload}",
      operationId: "getUpload",
      summary: "Where an upload stands: go on at `offset`",
      replies: ok("As it stands.", api.Upload),
    },
    {
      method: "PUT",
      path: "/uploads/{upload}",
      operationId: "uploadPart",
      summary: "Send a part, with its checksum; one that was taken already is taken again",
      query: api.UploadPartQuery,
      bodyType: BYTES,
      replies: ok("It is taken.", api.Upload),
      errors: [...UPLOAD, "upload.busy", "upload.out_of_order", "upload.checksum_mismatch", "request.too_large"],
    },
    {
      method: "POST",
      path: "/uploads/{upload}/complete",
      operationId: "completeUpload",
      summary: "Make the file appear at its path",
      replies: ok("It is there.", api.Upload),
      errors: [...UPLOAD, "upload.incomplete", "upload.checksum_mismatch"],
    },
    {
      method: "DELETE",
      path: "/uploads/{upload}",
      operationId: "deleteUpload",
      summary: "Give an upload up",
      replies: { 204: { description: "It is gone." } },
    },
  ] satisfies (Shape & { errors?: readonly ErrorCode[] })[]
).map((shape: Shape & { errors?: readonly ErrorCode[] }) => ({
  errors: UPLOAD,
  ...shape,
  path: `${VOLUME}${shape.path}`,
  tag: "volume files",
  access: "member",
}));

export const volumePlaneRoutes: RouteDescription[] = [...FILE_SHAPES.map(ofVolume), ...uploads];
