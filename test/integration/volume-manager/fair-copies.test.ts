import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { CreateVersion, GetVersion, GetVolume } from "@banyan/contracts";
import { newId } from "@banyan/kernel";
import { eventually } from "@banyan/testkit";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type Cluster, PATIENT, startCluster, VolumesWorld } from "./volumes-harness.ts";

let cluster: Cluster;
let world: VolumesWorld;
beforeAll(async () => {
  cluster = await startCluster();
  world = await VolumesWorld.open(cluster, { disk: "plain", volumes: { answerWaitMs: 10 } });
  await world.start();
});
afterAll(async () => {
  await world?.close();
  await cluster?.stop();
});

/** As a sandbox can, it keeps whoever wants to read the file waiting, for as long as the kernel lets a lease be kept: 45 s. */
async function hold(path: string): Promise<() => void> {
  const script = `alarm 120; $| = 1; $SIG{IO} = sub {}; open my $f, "+<", $ARGV[0]; fcntl($f, 1024, 1) or die "lease: $!"; print "held"; sleep 1 while 1`;
  const child = spawn("perl", ["-e", script, path], { stdio: ["ignore", "pipe", "inherit"] });
  await once(child.stdout, "data");
  return () => void child.kill("SIGKILL");
}

it("answers while a copy goes on, and copies for others while one organisation's copies take long", async () => {
  const held: (() => void)[] = [];
  const slow = [];
  for (let i = 0; i < 3; i++) {
    const volume = await world.ready(await world.create());
    writeFileSync(join(world.content(volume), "file"), "");
    held.push(await hold(join(world.content(volume), "file")));
    slow.push(await world.snapshot(volume.id));
  }
  expect(slow.map(({ state }) => state)).toEqual(["creating", "creating", "creating"]);
  try {
    const orgId = newId("org");
    const volume = await world.create({ orgId });
    const look = () => world.bus.call(GetVolume, { orgId, volume: volume.id });
    await eventually(async () => expect((await look()).volume.state).toBe("ready"), PATIENT);
    const versionId = newId("ver");
    const ref = { orgId, volume: volume.id, versionId };
    await world.bus.call(CreateVersion, { ...ref, name: null });
    await eventually(async () => expect((await world.bus.call(GetVersion, ref)).version.state).toBe("ready"), PATIENT);
    for (const { volumeId, id } of slow) expect((await world.version(volumeId, id)).state).toBe("creating");
  } finally {
    for (const release of held) release();
  }
  for (const version of slow) await world.versionReady(version);
});
