import { api } from "@banyan/contracts";
import { readJson, readQuery } from "./body.ts";
import { fileInfoOf } from "./file-info.ts";
import { as, below } from "./files.ts";
import { translating } from "./native-errors.ts";
import type { FileOperation } from "./operation.ts";
import { sendJson } from "./reply.ts";

/** `GET files/find` */
export async function find({ response, files, query, signal }: FileOperation): Promise<void> {
  const { path, user, glob, depth, limit } = readQuery(query, api.FindQuery);
  const { found, truncated } = await translating("search", files.find(path, { signal, glob, depth, limit, ...as(user) }));
  sendJson(response, 200, { entries: found.map((entry) => fileInfoOf(entry, below(path, entry.path))), truncated });
}

/** `POST files/grep` */
export async function grep({ request, response, files, signal }: FileOperation): Promise<void> {
  const { path, user, pattern, glob, fixed, ignore_case, limit } = await readJson(request, api.GrepBody);
  const options = { signal, fixed, ignoreCase: ignore_case, limit, ...(glob !== undefined && { glob }), ...as(user) };
  const { found, truncated } = await translating("search", files.grep(path, pattern, options));
  const matches = found.map(({ path: at, line, column, text }) => ({ path: below(path, at), line, column, text }));
  sendJson(response, 200, { matches, truncated });
}

/** `POST files/replace` */
export async function replace({ request, response, files, signal }: FileOperation): Promise<void> {
  const { paths, find: text, replace: to, user } = await readJson(request, api.ReplaceBody);
  const { files: changed, total } = await translating("content", files.replace(paths, text, to, { signal, ...as(user) }));
  sendJson(response, 200, { files: changed, replacements: total });
}
