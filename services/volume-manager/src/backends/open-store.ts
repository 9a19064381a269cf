import { statfsSync } from "node:fs";
import { fault } from "@banyan/contracts";
import { type Logger, messageOf } from "@banyan/kernel";
import { AttachClient, buildNative, makeStore, mountImage, type StoreProbe, unmountImage } from "@banyan/runtime";
import type { DirectoryConfig } from "../config.ts";
import { BtrfsSubstrate } from "./btrfs-substrate.ts";
import { hostCommand } from "./host-command.ts";
import { PlainSubstrate } from "./plain-substrate.ts";
import type { OpenStore } from "./store-watch.ts";
import type { Substrate } from "./substrate.ts";

/** Of what is free, where the image's size is not given: the node's disks, the database and images want theirs. */
const SHARE_OF_FREE = 0.5;
const MB = 1024 * 1024;

interface OpenStoreDeps {
  logger: Logger;
  knownStores(): Promise<string[]>;
}

/** Finds the store at the root, or makes a new one there where no rows speak of another. Throws where it is not there. */
export async function openStore(config: DirectoryConfig, probe: StoreProbe, { logger, knownStores }: OpenStoreDeps): Promise<OpenStore> {
  const { root } = config;
  if (config.image !== null) await mountOwn(config.image, root, logger);
  await hostCommand(["mkdir", "--parents", "--", root]);
  let seen = await probe.look();
  if (seen.state === "lost" && /No such file/.test(seen.reason)) {
    const known = await knownStores();
    if (known.length > 0) {
      throw fault(
        "volume.unreachable",
        { root },
        { message: `${root} is no store, and volumes lie in ${known.join(", ")}: is it mounted?` },
      );
    }
    await makeStore(root);
    seen = await probe.look();
  }
  if (seen.state === "lost") throw fault("volume.unreachable", { root }, { message: seen.reason });
  await hostCommand(["mkdir", "--parents", "--mode=0700", "--", `${root}/volumes`]);
  const substrate = await substrateOf(root, logger);
  logger.info({ root, store: seen.storeId, quota: substrate.quota, sharesBlocks: substrate.sharesBlocks }, "the store of volumes is open");
  return { id: seen.storeId, root, substrate };
}

/** Without it the root is a plain directory: nothing but quotas and the speed of copies is lost. */
async function mountOwn(image: NonNullable<DirectoryConfig["image"]>, root: string, logger: Logger): Promise<void> {
  const parent = image.path.slice(0, image.path.lastIndexOf("/"));
  await hostCommand(["mkdir", "--parents", "--", parent]);
  if (await isBtrfs(parent)) return;
  try {
    await mountImage({ image: image.path, directory: root, sizeMb: image.sizeMb ?? shareOfFree(parent) });
  } catch (error) {
    logger.warn(
      { reason: messageOf(error) },
      "no btrfs here: volumes are plain directories, copies take their time and quotas hold for uploads only",
    );
  }
}

export async function closeOwn(config: DirectoryConfig): Promise<void> {
  if (config.image !== null) await unmountImage({ image: config.image.path, directory: config.root, sizeMb: null });
}

async function substrateOf(root: string, logger: Logger): Promise<Substrate> {
  if (!(await isBtrfs(root))) return new PlainSubstrate();
  try {
    await enableQuotas(root);
    return new BtrfsSubstrate({ hasQuotas: true });
  } catch (error) {
    logger.warn({ reason: messageOf(error) }, "this kernel has no simple quotas: quotas hold for uploads only");
    return new BtrfsSubstrate({ hasQuotas: false });
  }
}

/** The helper of slots knows how; it is needed for this alone. */
async function enableQuotas(root: string): Promise<void> {
  const { attach } = await buildNative();
  const client = await AttachClient.start({ binaryPath: attach });
  try {
    await client.diskEnable(root);
  } finally {
    await client.close();
  }
}

const isBtrfs = async (path: string): Promise<boolean> =>
  (await hostCommand(["stat", "--file-system", "--format=%T", "--", path])).trim() === "btrfs";

/** Of a local disk: an image is made beside our own data. */
function shareOfFree(path: string): number {
  const { bavail, bsize } = statfsSync(path);
  return Math.max(Math.floor((bavail * bsize * SHARE_OF_FREE) / MB), 256);
}
