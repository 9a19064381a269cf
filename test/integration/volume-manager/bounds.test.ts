import { LIMITS, ListVersions } from "@banyan/contracts";
import { newId } from "@banyan/kernel";
import { eventually } from "@banyan/testkit";
import { afterAll, beforeAll, expect, it } from "vitest";
import { ask } from "./content-client.ts";
import { type Cluster, PATIENT, startCluster, VolumesWorld } from "./volumes-harness.ts";

const TEST_MS = 120_000;
let cluster: Cluster;
let world: VolumesWorld;

beforeAll(async () => {
  cluster = await startCluster();
  world = await VolumesWorld.open(cluster, { disk: "plain" });
  await world.start();
}, TEST_MS);
afterAll(async () => {
  await world?.close();
  await cluster?.stop();
});

const refusal = (call: Promise<unknown>) =>
  call.then(
    () => null,
    ({ code, kind, details }) => ({ code, kind, max: details.max, of: details.of }),
  );
/** So many like the first one, all of this volume. */
const versionsLike = (id: string, count: number) => world.sql`
  insert into versions select (jsonb_populate_record(v, jsonb_build_object('id', 'ver_' || lpad(i::text, 20, '0') || right(v.volume_id, 6), 'name', null, 'measured_at', now()))).*
  from versions v, generate_series(1, ${count}) i where v.id = ${id}`;

it("refuses more versions of a volume than there may be, and more of all volumes, and pages through them", {
  timeout: TEST_MS,
}, async () => {
  const volume = await world.ready(await world.create());
  const version = await world.versionReady(await world.snapshot(volume.id));
  await versionsLike(version.id, LIMITS.versionsPerVolume - 1);
  expect(await refusal(world.snapshot(volume.id))).toEqual({
    code: "volume.too_many",
    kind: "exhausted",
    max: LIMITS.versionsPerVolume,
    of: "versions",
  });
  const seen = new Set<string>();
  for (let cursor: string | null = null; ; ) {
    const page: { versions: { id: string }[]; nextCursor: string | null } = await world.bus.call(ListVersions, {
      ...{ orgId: world.orgId, volume: volume.id, cursor },
      limit: LIMITS.pageSize,
    });
    for (const { id } of page.versions) seen.add(id);
    cursor = page.nextCursor;
    if (cursor === null) break;
  }
  expect(seen.size).toBe(LIMITS.versionsPerVolume);
  const another = await world.ready(await world.create());
  const more = await world.versionReady(await world.snapshot(another.id));
  // Of volumes that are there no more than these two: what counts is whose they are.
  await versionsLike(more.id, LIMITS.versionsPerOrg - LIMITS.versionsPerVolume - 1);
  await world.sql`update versions set volume_id = ${volume.id} where volume_id = ${another.id} and id <> ${more.id}`;
  expect(await refusal(world.snapshot(another.id))).toMatchObject({ code: "volume.too_many", of: "versions of all volumes" });
});

it("refuses more unfinished uploads of an organisation than there may be, and forgets those that have been complete for long", async () => {
  const volume = await world.ready(await world.create());
  const begin = () => ask(world, "POST", volume.id, "uploads", { json: { path: "/f", size: 0 } });
  const first = await begin();
  expect(first.status).toBe(201);
  const upload = String(first.body.id);
  await world.sql`
    insert into uploads select (jsonb_populate_record(u, jsonb_build_object('id', 'upl_' || lpad(i::text, 26, '0')))).*
    from uploads u, generate_series(1, ${LIMITS.uploadsPerVolume - 1}) i where u.id = ${upload}`;
  expect((await begin()).body).toMatchObject({ code: "volume.too_many", details: { max: LIMITS.uploadsPerVolume } });
  const elsewhere = await world.ready(await world.create());
  await world.sql`
    insert into uploads select (jsonb_populate_record(u, jsonb_build_object('id', 'upl_' || lpad((i + 10000)::text, 26, '0'), 'volume_id', ${elsewhere.id}::text))).*
    from uploads u, generate_series(1, ${LIMITS.uploadsPerOrg - LIMITS.uploadsPerVolume}) i where u.id = ${upload}`;
  const third = await world.ready(await world.create());
  const refused = await ask(world, "POST", third.id, "uploads", { json: { path: "/f", size: 0 } });
  expect(refused.body).toMatchObject({ code: "volume.too_many", details: { max: LIMITS.uploadsPerOrg } });
  await world.sql`update uploads set state = 'complete', expires_at = now() + interval '1 day' where id <> ${upload}`;
  await world.stop();
  await world.start();
  await eventually(async () => expect(await world.sql`select id from uploads`).toEqual([{ id: upload }]), PATIENT);
  expect((await ask(world, "GET", volume.id, `uploads/${newId("upl")}`)).body.code).toBe("upload.not_found");
});
