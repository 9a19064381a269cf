import { api, fault } from "@banyan/contracts";
import { readJson, readQuery } from "./body.ts";
import { fileInfoOf, modeOf } from "./file-info.ts";
import { translating } from "./native-errors.ts";
import type { FileOperation } from "./operation.ts";
import { sendJson } from "./reply.ts";

/** `GET files/stat` */
export async function stat({ response, files, query, signal }: FileOperation): Promise<void> {
  const { path, user, follow } = readQuery(query, api.StatQuery);
  const entry = await translating("file", files.stat(path, { signal, noFollow: follow === "false", ...as(user) }));
  sendJson(response, 200, fileInfoOf(entry, path));
}

/** `GET files/list` */
export async function list({ response, files, query, signal }: FileOperation): Promise<void> {
  const { path, user, offset, limit } = readQuery(query, api.ListQuery);
  const { entries, total } = await translating("file", files.list(path, { signal, offset, limit, ...as(user) }));
  const seen = offset + entries.length;
  const page = {
    entries: entries.map((entry) => fileInfoOf(entry, below(path, entry.path))),
    total,
    next_offset: entries.length > 0 && seen < total ? seen : null,
  };
  sendJson(response, 200, page);
}

/** `POST files/mkdir` */
export async function mkdir(operation: FileOperation): Promise<void> {
  const { request, files, signal } = operation;
  const { path, user, mode, parents } = await readJson(request, api.MkdirBody);
  await translating("file", files.mkdir(path, { signal, mode: modeOf(mode), parents, ...as(user) }));
  await sendInfo(operation, path, user);
}

/** `POST files/move` */
export async function move(operation: FileOperation): Promise<void> {
  const { request, files, signal } = operation;
  const { from, to, user, overwrite } = await readJson(request, api.MoveBody);
  await translating("file", files.move(from, to, { signal, exclusive: !overwrite, ...as(user) }));
  await sendInfo(operation, to, user);
}

/** `POST files/remove` */
export async function remove({ request, response, files, signal }: FileOperation): Promise<void> {
  const { path, user, recursive } = await readJson(request, api.RemoveBody);
  sendJson(response, 200, await translating("file", files.remove(path, { signal, recursive, ...as(user) })));
}

/** `POST files/chmod` */
export async function chmod(operation: FileOperation): Promise<void> {
  const { request, files, signal } = operation;
  const { path, user, mode, uid, gid, recursive } = await readJson(request, api.ChmodBody);
  if (mode === undefined && uid === undefined && gid === undefined) {
    throw fault("request.invalid", { issues: [{ path: "mode", message: "give at least one of mode, uid and gid" }] });
  }
  const change = {
    ...(mode !== undefined && { mode: modeOf(mode) }),
    ...(uid !== undefined && { uid }),
    ...(gid !== undefined && { gid }),
  };
  await translating("file", files.chmod(path, { signal, recursive, ...change, ...as(user) }));
  await sendInfo(operation, path, user);
}

/** What is there now, a symlink itself and not its target. */
async function sendInfo({ response, files, signal }: FileOperation, path: string, user: string | undefined): Promise<void> {
  const entry = await translating("file", files.stat(path, { signal, noFollow: true, ...as(user) }));
  sendJson(response, 200, fileInfoOf(entry, path));
}

export function as(user: string | undefined): { user?: string } {
  return user === undefined ? {} : { user };
}

export function below(directory: string, name: string): string {
  return name.startsWith("/") ? name : `${directory.replace(/\/+$/, "")}/${name}`;
}
