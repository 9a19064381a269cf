import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Banyan } from "@banyan/sdk";
import { afterAll, beforeAll, expect, it } from "vitest";
import { BOOTSTRAP_KEY, type Cluster, caller, startCluster } from "./cluster.ts";
import { startVolumes, type TestVolumes } from "./volume-manager.ts";

const MIB = 1024 * 1024;
let cluster: Cluster;
let volumes: TestVolumes;
let ask: ReturnType<typeof caller>;
let banyan: Banyan;

beforeAll(async () => {
  cluster = await startCluster();
  volumes = await startVolumes(cluster);
  ask = caller(cluster.url);
  banyan = new Banyan({ url: cluster.url, apiKey: BOOTSTRAP_KEY });
});
afterAll(async () => {
  await volumes?.stop();
  await cluster?.stop();
});

it("passes files and uploads of a volume on, by its name and its id", async () => {
  const { body: made } = await ask("POST", "/v1/volumes", { json: { name: "shared" } });
  const content = join(volumes.root, "volumes", made.id, "content");
  const large = randomBytes(9 * MIB);
  for (const ref of ["shared", made.id]) {
    const volume = banyan.volumes.at(ref);
    await volume.files.write("/d/f", `by ${ref}`);
    expect(readFileSync(join(content, "d/f"), "utf8")).toBe(`by ${ref}`);
    await volume.upload("/large", large);
    expect(readFileSync(join(content, "large")).equals(large)).toBe(true);
    expect(Buffer.from(await new Response(await volume.download("/large", { offset: 9 * MIB - 3 })).arrayBuffer())).toEqual(
      large.subarray(-3),
    );
  }
});

it("says which volume, upload or call there is not", async () => {
  expect((await ask("GET", "/v1/volumes/none/files/list?path=/")).body.code).toBe("volume.not_found");
  const { body: made } = await ask("POST", "/v1/volumes", { json: {} });
  expect((await ask("GET", `/v1/volumes/${made.id}/uploads/x`)).body.code).toBe("upload.not_found");
  expect((await ask("GET", `/v1/volumes/${made.id}/files/none`)).body.code).toBe("request.not_found");
  expect((await ask("GET", `/v1/volumes/${made.id}/files/list?path=/`, { key: null })).body.code).toBe("auth.missing");
});

it("finds the volume that has a name now, not the one that had it", async () => {
  const [{ body: one }, { body: other }] = [
    await ask("POST", "/v1/volumes", { json: { name: "now" } }),
    await ask("POST", "/v1/volumes", { json: { name: "later" } }),
  ];
  await banyan.volumes.at("now").files.write("/which", "one");
  await ask("PATCH", `/v1/volumes/${one.id}`, { json: { name: "before" } });
  await ask("PATCH", `/v1/volumes/${other.id}`, { json: { name: "now" } });
  await banyan.volumes.at("now").files.write("/which", "other");
  expect(readFileSync(join(volumes.root, "volumes", one.id, "content/which"), "utf8")).toBe("one");
  expect(readFileSync(join(volumes.root, "volumes", other.id, "content/which"), "utf8")).toBe("other");
});
