import type { Readable } from "node:stream";
import type Docker from "dockerode";
import { extract } from "tar-stream";
import { StepFailed } from "../domain/step-failed.ts";
import { asking, orNull } from "./engine-fault.ts";

export interface Owner {
  uid: number;
  gid: number;
}

export const ROOT_OWNER: Owner = { uid: 0, gid: 0 };
const ACCOUNTS_BYTES_MAX = 4 * 1024 * 1024;

/** `name`, `uid`, `name:group`, `uid:gid` as the image's own accounts have it. */
export async function ownerOf(container: Docker.Container, owner: string | null, step: number): Promise<Owner> {
  if (owner === null) return ROOT_OWNER;
  const [user = "", group] = owner.split(":");
  const passwd = isNumber(user) && (group === undefined || isNumber(group)) ? "" : await readAccounts(container, "/etc/passwd");
  const groups = group === undefined || isNumber(group) ? "" : await readAccounts(container, "/etc/group");
  const found = lookUp(user, group, passwd, groups);
  if (found !== null) return found;
  throw new StepFailed({ step, exitCode: null, oomKilled: false, lastLines: [`there is no user or group ${owner} in the image`] });
}

export function lookUp(user: string, group: string | undefined, passwd: string, groups: string): Owner | null {
  const account = fieldsOf(passwd).find(([name, , uid]) => name === user || uid === user);
  const uid = isNumber(user) ? Number(user) : account?.[2];
  const gid = group === undefined ? (account?.[3] ?? 0) : isNumber(group) ? group : fieldsOf(groups).find(([name]) => name === group)?.[2];
  return uid === undefined || gid === undefined ? null : { uid: Number(uid), gid: Number(gid) };
}

const isNumber = (text: string): boolean => /^\d+$/.test(text);
const fieldsOf = (text: string): string[][] => text.split("\n").map((line) => line.split(":"));

/** Empty where the image has no such file. */
async function readAccounts(container: Docker.Container, path: string): Promise<string> {
  const archive = await asking(`read ${path}`, () => orNull(container.getArchive({ path })));
  if (archive === null) return "";
  const entries = extract();
  (archive as unknown as Readable).on("error", (error) => entries.destroy(error)).pipe(entries);
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const entry of entries) {
    for await (const chunk of entry as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes <= ACCOUNTS_BYTES_MAX) chunks.push(chunk);
    }
  }
  return Buffer.concat(chunks).toString("utf8");
}
