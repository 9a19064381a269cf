import { readdirSync, readFileSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import { api, RouteVolume, type Volume } from "@banyan/contracts";
import { UNFINISHED_DIRECTORY as OWN } from "@banyan/runtime";
import { eventually } from "@banyan/testkit";
import { afterAll, beforeAll, expect, it } from "vitest";
import { ask, sha256 } from "./content-client.ts";
import { type Cluster, PATIENT, startCluster, VolumesWorld } from "./volumes-harness.ts";

let cluster: Cluster;
let world: VolumesWorld;

beforeAll(async () => {
  cluster = await startCluster();
  world = await VolumesWorld.open(cluster, { disk: "plain", volumes: { serverIdleMs: 100, expireUploadsEveryMs: 50 } });
  await world.start();
}, PATIENT.timeoutMs);
afterAll(async () => {
  await world?.close();
  await cluster?.stop();
});

const newVolume = async (): Promise<Volume> => world.ready(await world.create());
const sockets = (): string[] => readdirSync(join(world.directory, "volume-manager-run"));
/** The processes that serve the files of a volume, seen by what they were started with. */
function servers({ id }: Volume): number[] {
  const content = world.content({ id });
  return readdirSync("/proc")
    .map(Number)
    .filter((pid) => {
      try {
        return pid > 0 && readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").includes(content);
      } catch {
        return false;
      }
    });
}

/** A writing that lasts until it is ended. */
async function writing({ id }: Volume, path: string): Promise<{ end(): Promise<number> }> {
  const { url } = await world.bus.call(RouteVolume, { orgId: world.orgId, volume: id });
  const { authorization, orgId } = api.FORWARD_HEADERS;
  const headers = { [authorization]: `Bearer ${world.config.clusterToken}`, [orgId]: world.orgId };
  const sent = request(`${url}/volumes/${id}/files/content?path=${path}`, { method: "PUT", headers });
  const status = new Promise<number>((resolve, reject) => {
    sent.on("response", (response) => resolve(response.resume().statusCode ?? 0)).on("error", reject);
  });
  sent.write("begun, ");
  return {
    end: () => {
      sent.end("ended");
      return status;
    },
  };
}

it("ends the server of a volume's files when nobody has asked for it for a while, never under somebody, and starts it anew", async () => {
  const [busy, idle] = [await newVolume(), await newVolume()];
  const long = await writing(busy, "/f");
  await eventually(() => expect(servers(busy)).not.toEqual([]));
  const put = () => ask(world, "PUT", idle.id, "files/content", { query: { path: "/f" }, body: "idle" });
  expect((await put()).status).toBe(200);
  await eventually(() => expect(servers(idle)).toEqual([]), PATIENT);
  // It was opened before the other one, which has been idle long enough since.
  expect(servers(busy)).not.toEqual([]);
  expect(await long.end()).toBe(200);
  expect(readFileSync(join(world.content(busy), "f"), "utf8")).toBe("begun, ended");
  await eventually(() => expect([...servers(busy), ...sockets()]).toEqual([]), PATIENT);
  expect((await put()).status).toBe(200);
});

it("clears away an upload whose time is over, and leaves the others", async () => {
  const volume = await newVolume();
  const call = (method: string, path: string, options = {}) => ask(world, method, volume.id, path, options);
  const begin = async (): Promise<string> => {
    const { id } = (await call("POST", "uploads", { json: { path: "/f", size: 10 } })).body;
    await call("PUT", `uploads/${id}`, { query: { offset: 0, sha256: sha256(Buffer.from("half")) }, body: "half" });
    return String(id);
  };
  const [over, kept] = [await begin(), await begin()];
  const uploads = join(world.content(volume), OWN, "uploads");
  expect(readdirSync(uploads).toSorted()).toEqual([over, kept].toSorted());
  await world.sql`update uploads set expires_at = now() - interval '1 second' where id = ${over}`;
  expect((await call("GET", `uploads/${over}`)).body.code).toBe("upload.not_found");
  await eventually(async () => {
    expect(readdirSync(uploads)).toEqual([kept]);
    expect(await world.sql`select id from uploads where volume_id = ${volume.id}`).toEqual([{ id: kept }]);
  }, PATIENT);
  expect((await call("GET", `uploads/${kept}`)).body).toMatchObject({ offset: 4 });
});
