import { eventually } from "@banyan/testkit";
import { afterEach, beforeEach, expect, it } from "vitest";
import { removeDataDir } from "./clear-away.ts";
import { footprintOf, NOTHING } from "./footprint.ts";
import { IMAGE_MS, makeDataDir, PATIENCE_MS, startBanyan, type TestBanyan } from "./start-banyan.ts";
import { untilReady } from "./until-ready.ts";

const COUNT = "i=0; while true; do i=$((i+1)); echo $i > /workspace/count; sleep 0.05; done";
let dataDir: string;
let running: TestBanyan | null = null;

beforeEach(async () => {
  dataDir = await makeDataDir();
});
afterEach(async () => {
  await running?.stop();
  running = null;
  await removeDataDir(dataDir);
});

/** `own`: an engine that belongs to this Banyan alone, and outlives its killed parent as NATS and Postgres do. */
it.each([
  ["the engine of the machine", {}],
  ["an engine of its own", { BANYAN_DOCKER: "own" }],
])(
  "takes up after a kill -9 where it was, with %s",
  async (_, env) => {
    running = await startBanyan(dataDir, env);
    await untilReady(running.banyan);
    const sandbox = await running.banyan.sandboxes.create();
    const { pid } = (await sandbox.processes.start(COUNT, { id: "counter" })).info;
    const stopped = await running.banyan.sandboxes.create();
    await stopped.files.write("/workspace/kept", "yes");
    await stopped.stop();

    running.signal("SIGKILL");
    expect(await running.exited).toBe("SIGKILL");
    running = await startBanyan(dataDir, env);

    const again = running.banyan.sandboxes.at(sandbox.id);
    const look = await eventually(async () => {
      const info = await again.look();
      return info.state === "running" && info;
    });
    expect(look.epoch).toBe(sandbox.info.epoch);
    expect((await again.processes.get("counter")).info).toMatchObject({ state: "running", pid });
    const before = Number(await again.files.read("/workspace/count"));
    await eventually(async () => Number(await again.files.read("/workspace/count")) > before);
    await running.banyan.sandboxes.at(stopped.id).start({ waitMs: 60_000 });
    expect(await running.banyan.sandboxes.at(stopped.id).files.read("/workspace/kept")).toBe("yes");
    await Promise.all([again.delete(), running.banyan.sandboxes.at(stopped.id).delete()]);

    expect(await running.stop()).toBe(0);
    await eventually(async () => expect(await footprintOf(dataDir, null)).toEqual(NOTHING));
  },
  IMAGE_MS + PATIENCE_MS,
);

it(
  "stops in order when the process that started it is gone",
  async () => {
    running = await startBanyan(dataDir);
    running.hangUp();
    expect(await running.exited).toBe(0);
    await eventually(async () => expect(await footprintOf(dataDir, null)).toEqual(NOTHING));
  },
  PATIENCE_MS,
);
