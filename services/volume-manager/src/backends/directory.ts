import { join } from "node:path";
import { fault, type MountSource } from "@banyan/contracts";
import { messageOf } from "@banyan/kernel";
import { contentPath, UNFINISHED_DIRECTORY, versionPath, versionsPath, volumePath } from "@banyan/runtime";
import { hostCommand } from "./host-command.ts";
import type { BackendState, BackendVolume, Capabilities, Measured, VolumeBackend, Work } from "./port.ts";
import type { OpenStore, StoreWatch } from "./store-watch.ts";

const MEASURE_MS_MAX = 1_800_000;
const DRAFT = ".draft";
const OLD = ".old";
/** Ours only: what is in a content may have any name. */
const LEFT = ".*/vol_[0-9a-z]+/\\(content\\|versions/ver_[0-9a-z]+\\)\\(\\.[0-9]+\\.draft\\|\\.old\\)";

/**
 * Volumes as directories of one store. What is being made lies beside its place as `<name>.<attempt>.draft` and is renamed when it is whole; what it
 * takes the place of becomes `<name>.old` for that moment.
 */
export class DirectoryBackend implements VolumeBackend {
  readonly kind = "directory";
  readonly #watch: StoreWatch;

  constructor(watch: StoreWatch) {
    this.#watch = watch;
  }

  capabilities(): Capabilities {
    return { versions: true, forks: true, ...this.#watch.traits() };
  }

  state(): BackendState {
    return this.#watch.state();
  }

  storeId(): string {
    return this.#store().id;
  }

  async create(volume: BackendVolume): Promise<void> {
    const { root, substrate } = this.#store();
    await this.#prepare(volume);
    if (!(await exists(contentPath(root, volume.id)))) {
      const draft = `${contentPath(root, volume.id)}.0${DRAFT}`;
      await substrate.remove(draft);
      await substrate.make(draft, volume.id);
      await this.#place(draft, contentPath(root, volume.id));
    }
    await this.setQuota(volume);
  }

  async remove({ id }: BackendVolume, { signal }: Work): Promise<void> {
    const { root, substrate } = this.#store();
    const below = await this.#below(id);
    for (const path of below) await substrate.remove(path, signal);
    await hostCommand(["rm", "--recursive", "--force", "--", volumePath(root, id)], { signal });
    await substrate.forget(root, id);
  }

  async setQuota({ id, quotaMb }: BackendVolume): Promise<void> {
    const { root, substrate } = this.#store();
    await substrate.limit(root, id, quotaMb);
  }

  async usage(volume: BackendVolume, versionId: string | null, signal: AbortSignal): Promise<Measured> {
    const path = await this.open(volume, versionId);
    const measure = async (...flags: string[]): Promise<number> => {
      const argv = ["nice", "-n", "19", "ionice", "-c", "3", "du", "--summarize", "--one-file-system", ...flags, "--", path];
      return Number.parseInt(await hostCommand(argv, { signal, timeoutMs: MEASURE_MS_MAX }), 10);
    };
    const bytes = await measure("--block-size=1");
    // The root is there in every volume.
    return { bytes, files: Math.max((await measure("--inodes")) - 1, 0) };
  }

  async snapshot(volume: BackendVolume, versionId: string, work: Work): Promise<void> {
    const { root } = this.#store();
    const path = versionPath(root, volume.id, versionId);
    if (await exists(path)) return;
    await this.#copy(await this.open(volume, null), path, { owner: volume.id, readOnly: true }, work);
  }

  async removeVersion({ id }: BackendVolume, versionId: string, { signal }: Work): Promise<void> {
    const { root, substrate } = this.#store();
    const path = versionPath(root, id, versionId);
    for (const each of [path, ...(await beside(path))]) await substrate.remove(each, signal);
  }

  async restore(volume: BackendVolume, versionId: string, work: Work): Promise<void> {
    const { root, substrate } = this.#store();
    const content = contentPath(root, volume.id);
    await this.#putBack(content);
    // A try that was cut short after its second rename has left it.
    await substrate.remove(`${content}${OLD}`, work.signal);
    const draft = await this.#draft(await this.open(volume, versionId), content, { owner: volume.id, readOnly: false }, work);
    await swap(content, draft);
    await substrate.remove(`${content}${OLD}`, work.signal);
  }

  async fork(source: { volume: BackendVolume; versionId: string | null }, target: BackendVolume, work: Work): Promise<void> {
    const { root } = this.#store();
    await this.#prepare(target);
    const content = contentPath(root, target.id);
    if (!(await exists(content))) {
      await this.#copy(await this.open(source.volume, source.versionId), content, { owner: target.id, readOnly: false }, work);
    }
    await this.setQuota(target);
  }

  async open({ id }: BackendVolume, versionId: string | null): Promise<string> {
    const { root } = this.#store();
    const path = versionId === null ? contentPath(root, id) : versionPath(root, id, versionId);
    if (await exists(path)) return path;
    if (versionId === null) throw fault("volume.not_found", { volumeId: id }, { message: "The volume's files are not in its store." });
    throw fault("volume.version_not_found", { volumeId: id, versionId }, { message: "The version's files are not in its volume's store." });
  }

  mountSource({ id }: BackendVolume, versionId: string | null, store: string): MountSource {
    return { kind: "directory", store, volumeId: id, versionId };
  }

  async leftBehind(): Promise<string[]> {
    const { root } = this.#store();
    const below = join(root, "volumes");
    const argv = ["find", below, "-mindepth", "2", "-maxdepth", "3", "-regex", LEFT, "-printf", "%P\\n"];
    const found = (await hostCommand(argv)).split("\n").map((path) => path.split("/")[0] ?? "");
    return [...new Set(found.filter((id) => id !== ""))];
  }

  async tidy({ id }: BackendVolume): Promise<void> {
    const { root, substrate } = this.#store();
    const content = contentPath(root, id);
    await this.#putBack(content);
    const left = (await this.#below(id)).filter((path) => path.endsWith(DRAFT) || path.endsWith(OLD));
    for (const path of left) await substrate.remove(path);
  }

  async close(): Promise<void> {
    await this.#watch.stop();
  }

  #store(): OpenStore {
    return this.#watch.store();
  }

  async #prepare({ id }: BackendVolume): Promise<void> {
    await hostCommand(["mkdir", "--parents", "--", versionsPath(this.#store().root, id)]);
  }

  /** The subvolumes or directories of a volume, those half made among them. */
  async #below(id: string): Promise<string[]> {
    const { root } = this.#store();
    if (!(await exists(volumePath(root, id)))) return [];
    const within = [volumePath(root, id), versionsPath(root, id)];
    const found = await hostCommand(["find", ...within, "-mindepth", "1", "-maxdepth", "1", "-print0"]);
    return found.split("\0").filter((path) => path !== "" && path !== versionsPath(root, id));
  }

  async #copy(from: string, to: string, how: { owner: string; readOnly: boolean }, work: Work): Promise<void> {
    await this.#place(await this.#draft(from, to, how, work), to);
  }

  /** The copy itself, in the place of what earlier tries have left. */
  async #draft(from: string, to: string, { owner, readOnly }: { owner: string; readOnly: boolean }, work: Work): Promise<string> {
    const { substrate } = this.#store();
    const draft = `${to}.${work.attempt}${DRAFT}`;
    for (const left of await beside(to)) await substrate.remove(left, work.signal);
    try {
      const bytes = substrate.sharesBlocks ? null : await bytesOf(from, work.signal);
      await substrate.copy(from, draft, { owner, bytes }, work);
      // Uploads that are under way: a copy begins without them.
      await hostCommand(["rm", "--recursive", "--force", "--", `${draft}/${UNFINISHED_DIRECTORY}`], { signal: work.signal });
      if (readOnly) await substrate.seal(draft);
    } catch (error) {
      await substrate.remove(draft).catch(() => {});
      throw error;
    }
    work.signal.throwIfAborted();
    return draft;
  }

  async #place(from: string, to: string): Promise<void> {
    await hostCommand(["mv", "--no-target-directory", "--", from, to]);
    await hostCommand(["sync", "--", to.slice(0, to.lastIndexOf("/"))]);
  }

  /** A restore that was cut short between its two renames. */
  async #putBack(content: string): Promise<void> {
    if (!(await exists(content)) && (await exists(`${content}${OLD}`))) await this.#place(`${content}${OLD}`, content);
  }
}

/**
 * Two renames by one process, and only where the draft is there: one who stood still for longer than his lease takes nothing away from whoever has done
 * it since.
 */
async function swap(content: string, draft: string): Promise<void> {
  const renames = `test -e "$2" && mv --no-target-directory -- "$1" "$1${OLD}" && mv --no-target-directory -- "$2" "$1"`;
  await hostCommand(["sh", "-euc", renames, "swap", content, draft]);
  await hostCommand(["sync", "--", content.slice(0, content.lastIndexOf("/"))]);
}

async function exists(path: string): Promise<boolean> {
  try {
    await hostCommand(["stat", "--format=%i", "--", path]);
    return true;
  } catch (error) {
    if (/No such file or directory/.test(messageOf(error))) return false;
    throw error;
  }
}

/** What earlier tries have left half made beside this path. */
async function beside(path: string): Promise<string[]> {
  const slash = path.lastIndexOf("/");
  const argv = ["find", path.slice(0, slash), "-maxdepth", "1", "-name", `${path.slice(slash + 1)}.*${DRAFT}`, "-print0"];
  return (await hostCommand(argv)).split("\0").filter((found) => found !== "");
}

/** What is to be copied: a hole and a second name of a file count nothing. */
async function bytesOf(path: string, signal: AbortSignal): Promise<number> {
  const said = await hostCommand(["du", "--summarize", "--one-file-system", "--block-size=1", "--", path], {
    signal,
    timeoutMs: MEASURE_MS_MAX,
  });
  return Number.parseInt(said, 10);
}
