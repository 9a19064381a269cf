import { fault } from "@banyan/contracts";
import { FILE_ROUTES, type FileRoute } from "@banyan/files";
import type { Place } from "../content/place.ts";
import { pick } from "./match.ts";
import type { Operation } from "./operation.ts";

/** `/volumes/{id}/files/{path}`: the same as of a sandbox's files, but of nobody in particular; what reads may read a version. */
export async function serveFiles(operation: Operation, path: string): Promise<void> {
  const { content, request, orgId, volumeId } = operation;
  const route = pick(
    FILE_ROUTES.filter((candidate) => candidate.path === path),
    request.method ?? "GET",
  );
  const { version, query } = withoutVersion(operation.query);
  if (version !== null && !route.reads) throw notTaken("version", "a version can only be read");
  const place = await content.find({ orgId, volumeId, version });
  await (route.reads ? read(operation, route, place, query) : write(operation, route, place, query));
}

function withoutVersion(text: string): { version: string | null; query: string } {
  const query = new URLSearchParams(text);
  const version = query.get("version");
  if (version === "") throw notTaken("version", "a name or an id");
  if (query.has("user")) throw notTaken("user", "files of a volume are nobody's in particular");
  query.delete("version");
  return { version, query: query.size === 0 ? "" : `?${query}` };
}

const notTaken = (path: string, message: string): Error => fault("request.invalid", { issues: [{ path, message }] });

function read({ content, request, response, signal }: Operation, { handler }: FileRoute, place: Place, query: string): Promise<void> {
  return content.use(place, (files) => handler({ request, response, files, query, signal }));
}

async function write(
  { content, request, response, signal }: Operation,
  { handler, path }: FileRoute,
  place: Place,
  query: string,
): Promise<void> {
  const claim = content.room.claim(place);
  try {
    // What is said to be too long is refused before a byte of it is taken.
    if (path === "content") claim.foresee(Number(request.headers["content-length"] ?? 0));
    await content.use(place, (files) => handler({ request, response, files, query, signal, admit: (bytes) => claim.take(bytes) }));
  } finally {
    await claim.settle();
  }
}
