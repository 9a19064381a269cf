import type { VolumeMount } from "@banyan/contracts";
import { newId, systemClock } from "@banyan/kernel";
import { expect, it } from "vitest";
import { Mounting } from "./mounting.ts";

const id = newId("vol");
const sandboxId = newId("sbx");
/** Nothing here is waited for longer than it takes. */
const clock = { ...systemClock, sleep: (_ms: number, signal?: AbortSignal) => systemClock.sleep(60_000, signal) };
const all = { volumeId: id, versionId: null };
const mount = (volume: string, version: string | null = null): VolumeMount => ({ volume, version, path: "/data", subpath: "", mode: "ro" });

it("tells of what is under way, until it has ended", async () => {
  const mounting = new Mounting();
  const flight = mounting.begin(sandboxId, [mount(id)]);
  flight.resolved([mount(id)]);
  const user = { sandboxId, state: "starting", path: "/data", mode: "ro", versionId: null };
  expect(await mounting.users(all, clock)).toEqual({ users: [user], forks: 0 });
  expect(await mounting.users({ ...all, volumeId: newId("vol") }, clock)).toEqual({ users: [], forks: 0 });
  flight.end();
  expect(await mounting.users(all, clock)).toEqual({ users: [], forks: 0 });
});

it("tells versions from each other, and counts forks", async () => {
  const mounting = new Mounting();
  const versionId = newId("ver");
  mounting.begin(null, []).resolved([]);
  mounting.begin(null, [mount(id, "v1")]).resolved([mount(id, versionId)]);
  mounting.begin(sandboxId, [mount(id)]).resolved([mount(id)]);
  expect(await mounting.users({ volumeId: id, versionId }, clock)).toEqual({ users: [], forks: 1 });
  expect(await mounting.users(all, clock)).toMatchObject({ users: [{ sandboxId }], forks: 1 });
});

it("waits until it is known what a name stands for", async () => {
  const mounting = new Mounting();
  const [meant, another, gone] = ["data", "other", "none"].map((name) => mounting.begin(sandboxId, [mount(name)]));
  const asked = mounting.users(all, clock);
  another?.resolved([mount(newId("vol"))]);
  gone?.end();
  meant?.resolved([mount(id)]);
  expect((await asked).users).toHaveLength(1);
});

it("takes a name for this volume's where nobody says in time what it stands for", async () => {
  const mounting = new Mounting();
  mounting.begin(sandboxId, [mount("data", "v1")]);
  mounting.begin(newId("sbx"), [mount(newId("vol"))]);
  const late = { ...systemClock, sleep: async () => {} };
  expect((await mounting.users(all, late)).users).toMatchObject([{ sandboxId, versionId: null }]);
});
