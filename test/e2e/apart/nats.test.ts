import { connectBus } from "@banyan/bus";
import { layerBlob, ResolveImage } from "@banyan/contracts";
import { newId, silentLogger } from "@banyan/kernel";
import { expect, it } from "vitest";
import { clusterOfFile } from "./cluster-of-file.ts";
import { patiently, problemOf, settled } from "./looks.ts";

const ANSWER_MAX_MS = 2_000;
const cluster = clusterOfFile();

it.each([
  ["its store", { loseStore: false }],
  ["an emptied store", { loseStore: true }],
])(
  "recovers by itself when NATS is killed and comes back with %s",
  async (_, options) => {
    const { banyan, nats } = cluster;
    const [runs, rests] = [await banyan.sandboxes.create(), await banyan.sandboxes.create()];
    await rests.stop();
    await nats.kill();
    for (const call of [() => banyan.sandboxes.create(), () => runs.look(), () => rests.start(), () => runs.stop(), () => banyan.nodes()]) {
      const problem = await problemOf(call);
      expect(problem).toMatchObject({ status: 503, code: "bus.unavailable", retryable: true });
      expect(problem.tookMs).toBeLessThan(ANSWER_MAX_MS);
    }
    expect((await runs.exec("echo goes on")).stdout, "the way to its node is known").toBe("goes on\n");

    await nats.restart(options);
    const made = await patiently(() => banyan.sandboxes.create());
    await patiently(() => rests.start());
    expect((await settled(cluster)).running.toSorted()).toEqual([runs.id, rests.id, made.id].toSorted());
    const slot = cluster.inventory.slotOf(made.id);
    process.kill(slot.pid, "SIGKILL");
    await patiently(async () => expect(await made.look(), "events arrive again").toMatchObject({ stateReason: "slot_died" }));
    // Layers were in the store too: a node that joins now must find them there.
    const bus = await connectBus({ servers: nats.url, name: "test", logger: silentLogger });
    await patiently(async () => {
      const { image } = await bus.call(ResolveImage, { orgId: newId("org"), name: "default" });
      return (await Promise.all(image.layers.map(({ digest }) => bus.blobs.has(layerBlob(digest))))).every(Boolean);
    });
    await bus.close();
  },
  180_000,
);
