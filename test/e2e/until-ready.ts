import type { Banyan } from "@banyan/sdk";
import { eventually } from "@banyan/testkit";
import { IMAGE_MS } from "./start-banyan.ts";

const UNPACK_MS = 120_000;

/** The image is made and unpacked, and the node holds warm slots. The first time on a machine this takes the making of the image. */
export async function untilReady(banyan: Banyan): Promise<void> {
  await eventually(
    async () => {
      const image = await banyan.images.get("default").catch(() => null);
      const nodes = await banyan.nodes();
      return image?.state === "ready" && nodes.some(({ pool }) => pool.free > 0);
    },
    { timeoutMs: IMAGE_MS, intervalMs: 100 },
  );
  await (await banyan.sandboxes.create({ waitMs: UNPACK_MS })).delete();
  await eventually(async () => (await banyan.nodes()).some(({ pool }) => pool.free === pool.target), { timeoutMs: UNPACK_MS });
}
