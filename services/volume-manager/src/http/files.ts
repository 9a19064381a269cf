import { fault } from "@banyan/contracts";
import { FILE_ROUTES, type FileRoute } from "@banyan/files";
import { pick } from "./match.ts";
import type { Operation } from "./operation.ts";

/** `/volumes/{id}/files/{path}`: the same as of a sandbox's files, but of nobody in particular; what reads may read a version. */
export async function serveFiles(operation: Operation, path: string): Promise<void> {
  const { request } = operation;
  const route = pick(
    FILE_ROUTES.filter((candidate) => candidate.path === path),
    request.method ?? "GET",
  );
  const { version, query } = withoutVersion(operation.query);
  if (version !== null && !route.reads) throw notTaken("version", "a version can only be read");
  await (route.reads ? read(operation, route, version, query) : write(operation, route, query));
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

async function read(
  { content, request, response, signal, orgId, volumeId }: Operation,
  { handler }: FileRoute,
  version: string | null,
  query: string,
): Promise<void> {
  const place = await content.find({ orgId, volumeId, version });
  await content.use(place, (files) => handler({ request, response, files, query, signal }));
}

async function write(
  { content, request, response, signal, orgId, volumeId }: Operation,
  { handler, path }: FileRoute,
  query: string,
): Promise<void> {
  await content.write({ orgId, volumeId }, async (place, claim) => {
    // What is told before is taken at once: it is refused before a byte of it came, and those who write beside it know.
    const toldBytes = path === "content" ? Number(request.headers["content-length"] ?? 0) : 0;
    claim.take(toldBytes);
    const { isRenameCostly } = place;
    const admit = toldBytes > 0 ? () => undefined : (bytes: number): void => claim.take(bytes);
    await content.use(place, (files) => handler({ request, response, files, query, signal, admit, isRenameCostly }));
  });
}
