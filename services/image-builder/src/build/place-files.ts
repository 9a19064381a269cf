import { posix } from "node:path";
import type { Readable } from "node:stream";
import { contextBlob, fault } from "@banyan/contracts";
import type Docker from "dockerode";
import { type Pack, pack } from "tar-stream";
import type { PlannedStep } from "../domain/plan.ts";
import { StepFailed } from "../domain/step-failed.ts";
import { withContainer } from "./containers.ts";
import type { ContextEntryType } from "./context.ts";
import { checkEntry } from "./context.ts";
import type { Engine } from "./engine.ts";
import { asking, engineFault, orNull, saidByEngine, statusOf } from "./engine-fault.ts";
import { type Owner, ownerOf, ROOT_OWNER } from "./owners.ts";
import { entriesOf } from "./sent-tar.ts";
import { type NewHeader, readableOf } from "./tar-streams.ts";

/** The same in every build, so that the same files are the same layer. */
const FILE_TIME = new Date("2000-01-01T00:00:00Z");
const DIRECTORY_MODE = 0o755;

export interface Placing {
  orgId: string;
  step: PlannedStep;
  image: string;
  signal: AbortSignal;
}

/** Puts the files of a `files` or `copy` step into a container that never runs. `keep` gets the container when they are there. */
export function placeFiles<T>(engine: Engine, placing: Placing, keep: (container: Docker.Container) => Promise<T>): Promise<T> {
  const options = { Image: placing.image, Entrypoint: [], Cmd: ["/"], HostConfig: { NetworkMode: "none" } };
  return withContainer(engine, options, async (container) => {
    if (placing.step.copy === null) await placeInline(container, placing);
    else await placeCopy(engine, container, placing, placing.step.copy);
    placing.signal.throwIfAborted();
    return keep(container);
  });
}

async function placeInline(container: Docker.Container, { step, signal }: Placing): Promise<void> {
  const owners = new Map<string | null, Owner>();
  for (const { owner } of step.files) if (!owners.has(owner)) owners.set(owner, await ownerOf(container, owner, step.index));
  const tar = pack();
  for (const { path, bytes, mode, owner } of step.files) {
    tar.entry({ name: posix.relative("/", path), mode, mtime: FILE_TIME, ...(owners.get(owner) ?? ROOT_OWNER) }, bytes);
  }
  tar.finalize();
  await put(container, tar, "/", step, signal);
}

async function placeCopy(engine: Engine, container: Docker.Container, { orgId, step, signal }: Placing, copy: Copy): Promise<void> {
  const owner = await ownerOf(container, copy.owner, step.index);
  const from = posix.normalize(copy.from).replace(/\/+$/, "") || ".";
  const isFile = (await kindOf(engine, orgId, copy.context, from, step)) !== "directory";
  // As in a Dockerfile: a file goes to a path, or into a directory that is named with a slash.
  const to = isFile && copy.to.endsWith("/") ? posix.join(copy.to, posix.basename(from)) : posix.normalize(copy.to);
  const directory = isFile ? posix.dirname(to) : to;
  await ensureDirectory(container, directory, owner, step, signal);
  const tar = pack();
  const packing = packCopy(tar, await openContext(engine, orgId, copy.context), {
    from,
    owner,
    step: step.index,
    nameOf: (path) => (isFile ? posix.basename(to) : posix.relative(from, path)),
  });
  packing.catch((error) => tar.destroy(error));
  const [packed, placed] = await Promise.allSettled([packing, put(container, tar, directory, step, signal)]);
  if (packed.status === "rejected") throw packed.reason;
  if (placed.status === "rejected") throw placed.reason;
}

type Copy = NonNullable<PlannedStep["copy"]>;

/** What the context has at the path; every context of a build was looked through before its first step. */
async function kindOf(engine: Engine, orgId: string, context: string, from: string, step: PlannedStep): Promise<ContextEntryType> {
  const found = (await engine.contextOf(orgId, context)).get(from);
  if (found !== undefined && found !== "symlink") return found;
  const problem = found === undefined ? "is not in the context" : "is a symlink: copy what it leads to";
  throw new StepFailed({ step: step.index, exitCode: null, oomKilled: false, lastLines: [`copy: \`${from}\` ${problem}`] });
}

export async function openContext({ blobs }: Pick<Engine, "blobs">, orgId: string, digest: string): Promise<Readable> {
  const blob = await blobs.get(contextBlob(orgId, digest));
  if (blob === null) throw fault("context.not_found", { digest });
  return blob;
}

async function ensureDirectory(
  container: Docker.Container,
  path: string,
  owner: Owner,
  step: PlannedStep,
  signal: AbortSignal,
): Promise<void> {
  if (path === "/") return;
  const found = await asking("look into an image", () => orNull(container.infoArchive({ path })));
  if (found !== null) return;
  const tar = pack();
  tar.entry({ name: `${posix.relative("/", path)}/`, type: "directory", mode: DIRECTORY_MODE, mtime: FILE_TIME, ...owner });
  tar.finalize();
  await put(container, tar, "/", step, signal);
}

/** The engine unpacks inside the container's own root, so that links lead nowhere else. */
async function put(container: Docker.Container, tar: Pack, path: string, step: PlannedStep, signal: AbortSignal): Promise<void> {
  try {
    await container.putArchive(readableOf(tar), { path, noOverwriteDirNonDir: "1", abortSignal: signal });
  } catch (error) {
    tar.destroy();
    signal.throwIfAborted();
    const status = statusOf(error);
    const isRefused = status === 400 || status === 403 || /cannot overwrite|not a directory|is a directory/.test(saidByEngine(error));
    if (!isRefused) throw engineFault("put files into an image", error);
    throw new StepFailed({ step: step.index, exitCode: null, oomKilled: false, lastLines: [saidByEngine(error)] }, { cause: error });
  }
}

interface CopyRules {
  from: string;
  owner: Owner;
  step: number;
  nameOf(path: string): string;
}

async function packCopy(tar: Pack, sent: Readable, { from, owner, step, nameOf }: CopyRules): Promise<void> {
  const before = new Map<string, ContextEntryType>();
  const isIn = (path: string) => from === "." || path === from || path.startsWith(`${from}/`);
  for await (const entry of entriesOf(sent)) {
    const { path, type } = checkEntry(entry.header, before);
    before.set(path, type);
    const name = isIn(path) ? nameOf(path) : "";
    if (name === "") {
      entry.resume();
      continue;
    }
    const header: NewHeader = {
      name,
      type: type === "contiguous-file" ? "file" : type,
      mtime: entry.header.mtime,
      mode: entry.header.mode,
      ...owner,
    };
    if (type === "file" || type === "contiguous-file") {
      await copyFile(tar, { ...header, size: entry.header.size }, readableOf(entry));
      continue;
    }
    if (type === "symlink") header.linkname = entry.header.linkname;
    if (type === "link") header.linkname = linkOf(entry.header.linkname, isIn, nameOf, step);
    tar.entry(header);
    entry.resume();
  }
  tar.finalize();
}

function linkOf(linkname: string, isIn: (path: string) => boolean, nameOf: (path: string) => string, step: number): string {
  const target = posix.normalize(linkname);
  if (isIn(target)) return nameOf(target);
  const lastLines = [`copy: a hard link leads to \`${target}\`, which is not copied`];
  throw new StepFailed({ step, exitCode: null, oomKilled: false, lastLines });
}

async function copyFile(tar: Pack, header: NewHeader, content: AsyncIterable<Buffer>): Promise<void> {
  const entry = tar.entry(header);
  for await (const chunk of content) {
    if (!entry.write(chunk)) await drained(entry);
  }
  entry.end(null);
}

function drained(entry: NodeJS.EventEmitter): Promise<void> {
  return new Promise((resolve, reject) => {
    entry.once("drain", resolve).once("close", () => reject(new Error("nobody reads the copied files any more")));
  });
}
