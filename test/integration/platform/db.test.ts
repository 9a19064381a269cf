import { isFault } from "@banyan/contracts";
import { type Database, isUniqueViolation, type Migration, openDatabase, translate } from "@banyan/db";
import { eventually, startPostgres, type TestPostgres } from "@banyan/testkit";
import { sql } from "drizzle-orm";
import { integer, jsonb, pgTable, timestamp, unique } from "drizzle-orm/pg-core";
import { afterAll, beforeAll, expect, it } from "vitest";

const things = pgTable(
  "things",
  { id: integer().primaryKey(), data: jsonb().notNull(), at: timestamp({ withTimezone: true }).notNull() },
  (table) => [unique("things_data").on(table.data)],
);
const FIRST: Migration = {
  name: "0001-things",
  sql: "create table things (id int primary key, data jsonb not null, at timestamptz not null, constraint things_data unique (data))",
};
const SECOND: Migration = { name: "0002-note", sql: "alter table things add column note text; create index on things (note)" };

let postgres: TestPostgres;
const opened: Database[] = [];
const open = async (options: { schema?: string; migrations?: Migration[] } = {}): Promise<Database> => {
  const database = await openDatabase({ url: postgres.url, schema: postgres.freshSchema(), migrations: [FIRST], max: 4, ...options });
  opened.push(database);
  return database;
};
const row = (id: number) => ({ id, data: { id }, at: new Date(1_000) });

beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(async () => {
  await Promise.all(opened.map((database) => database.close()));
  await postgres.stop();
});

it("looks into its own schema only", async () => {
  const [one, two] = await Promise.all([open(), open()]);
  await one.orm.insert(things).values(row(1));
  expect(await one.orm.select().from(things)).toEqual([row(1)]);
  expect(await two.orm.select().from(things)).toEqual([]);
});

it("reads JSON and times the same through drizzle and through raw SQL", async () => {
  const { orm, sql: raw } = await open();
  await orm.insert(things).values(row(1));
  await raw`insert into things ${raw({ id: 2, data: raw.json({ id: 2 }), at: new Date(1_000) })}`;
  expect(await raw`select id, data, at from things order by id`).toEqual([row(1), row(2)]);
  expect(await orm.select().from(things).orderBy(things.id)).toEqual([row(1), row(2)]);
});

it("applies each migration once, however many processes start at once", async () => {
  const schema = postgres.freshSchema();
  const [one] = await Promise.all([1, 2, 3, 4].map(() => open({ schema, migrations: [FIRST, SECOND] })));
  const applied = await one?.orm.execute(sql`select name from migrations order by name`);
  expect([...(applied ?? [])]).toEqual([{ name: FIRST.name }, { name: SECOND.name }]);
});

it("goes on from the migrations that are there", async () => {
  const schema = postgres.freshSchema();
  const before = await open({ schema });
  await before.orm.insert(things).values(row(1));
  const after = await open({ schema, migrations: [FIRST, SECOND] });
  expect(await after.sql`select id, note from things`).toEqual([{ id: 1, note: null }]);
});

it("refuses a migration that was changed after it was applied", async () => {
  const schema = postgres.freshSchema();
  await open({ schema });
  await expect(open({ schema, migrations: [{ ...FIRST, sql: `${FIRST.sql};` }] })).rejects.toThrow(
    `migration ${schema}/0001-things was changed`,
  );
});

it("leaves nothing of a migration that fails", async () => {
  const schema = postgres.freshSchema();
  const broken = { name: "0002-broken", sql: "create table half (id int); select nonsense" };
  await expect(open({ schema, migrations: [FIRST, broken] })).rejects.toThrow("0002-broken failed");
  const { sql: raw } = await open({ schema });
  expect(await raw`select to_regclass('half') as half, to_regclass('things')::text as things`).toEqual([{ half: null, things: "things" }]);
});

it("commits a transaction that resolves and rolls back one that throws", async () => {
  const { orm, transaction } = await open();
  await transaction((tx) => tx.insert(things).values(row(1)));
  const failing = transaction(async (tx) => {
    await tx.insert(things).values(row(2));
    throw new Error("changed my mind");
  });
  await expect(failing).rejects.toThrow("changed my mind");
  expect(await orm.select({ id: things.id }).from(things)).toEqual([{ id: 1 }]);
});

it("knows a unique violation by its constraint, also inside a transaction", async () => {
  const { orm, transaction } = await open();
  await orm.insert(things).values(row(1));
  const error = await orm
    .insert(things)
    .values({ ...row(1), id: 2 })
    .catch((thrown) => thrown);
  expect([isUniqueViolation(error), isUniqueViolation(error, "things_data"), isUniqueViolation(error, "things_pkey")]).toEqual([
    true,
    true,
    false,
  ]);
  const inside = await transaction((tx) => tx.insert(things).values({ ...row(2), id: 1 })).catch((thrown) => thrown);
  expect(isUniqueViolation(inside, "things_pkey")).toBe(true);
  expect(isUniqueViolation(new Error("other"))).toBe(false);
});

it("ends a statement that runs too long, as database.unavailable", async () => {
  const { orm } = await open();
  const endless = translate(() =>
    orm.transaction(async (tx) => {
      await tx.execute(sql`set local statement_timeout = '100ms'`);
      await tx.execute(sql`select pg_sleep(20)`);
    }),
  );
  await expect(endless).rejects.toMatchObject({ code: "database.unavailable" });
});

it("leaves other errors as they are", async () => {
  const { orm } = await open();
  const error = await translate(() => orm.execute(sql`select nonsense`)).catch((thrown) => thrown);
  expect(isFault(error)).toBe(false);
});

it("says database.unavailable while Postgres is away, and works again after", async () => {
  const database = await open();
  await database.orm.insert(things).values(row(1));
  const underWay = translate(() => database.orm.execute(sql`select pg_sleep(30)`)).catch((error) => error);
  await eventually(async () => {
    const active = await database.sql`select 1 from pg_stat_activity where query like '%pg_sleep(30)%' and pid <> pg_backend_pid()`;
    expect(active).toHaveLength(1);
  });
  await postgres.pause();
  expect(await underWay).toMatchObject({ code: "database.unavailable", details: { retryAfterMs: expect.any(Number) } });
  await expect(database.ping()).rejects.toMatchObject({ code: "database.unavailable" });
  await expect(database.transaction((tx) => tx.insert(things).values(row(2)))).rejects.toMatchObject({ code: "database.unavailable" });
  const startedMs = performance.now();
  await expect(translate(() => database.orm.insert(things).values(row(2)))).rejects.toMatchObject({ code: "database.unavailable" });
  expect(performance.now() - startedMs).toBeLessThan(2_000);
  await postgres.resume();
  await eventually(() => database.ping());
  expect(await database.orm.select({ id: things.id }).from(things)).toEqual([{ id: 1 }]);
});

it("waits for a database that is still starting", async () => {
  await postgres.pause();
  const opening = open();
  await postgres.resume();
  await (await opening).ping();
});
