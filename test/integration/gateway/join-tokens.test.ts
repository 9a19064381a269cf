import { type Database, openDatabase } from "@banyan/db";
import { newId } from "@banyan/kernel";
import { startPostgres, type TestPostgres } from "@banyan/testkit";
import { sql } from "drizzle-orm";
import { afterAll, beforeAll, expect, it } from "vitest";
import { hashKey, newJoinToken } from "../../../services/gateway/src/domain/api-key.ts";
import { deleteJoinToken } from "../../../services/gateway/src/store/delete-join-token.ts";
import { insertJoinToken } from "../../../services/gateway/src/store/insert-join-token.ts";
import { listJoinTokens } from "../../../services/gateway/src/store/list-join-tokens.ts";
import { migrations } from "../../../services/gateway/src/store/migrations.ts";
import { takeJoinToken } from "../../../services/gateway/src/store/take-join-token.ts";

const NOW = Date.parse("2026-01-01T00:00:00Z");
const BY_ID = "0003-join-tokens-by-id";
let postgres: TestPostgres;
const opened: Database[] = [];
const open = async (schema: string, known = migrations): Promise<Database> => {
  const db = await openDatabase({ url: postgres.url, schema, migrations: known, max: 4 });
  opened.push(db);
  return db;
};
const row = (id: string, token: string) => ({
  id,
  name: null,
  hash: hashKey(token),
  nodeId: null,
  uses: 8,
  usesLeft: 8,
  createdAt: new Date(NOW),
  expiresAt: new Date(NOW + 60_000),
});
const take = (db: Database, token: string) => takeJoinToken(db, { hash: hashKey(token), nodeId: null, now: NOW });

beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(async () => {
  await Promise.all(opened.map((db) => db.close()));
  await postgres?.stop();
});

it("keeps tokens that were made before they had ids, which can be listed, used and revoked like others", async () => {
  const schema = postgres.freshSchema();
  const before = await open(
    schema,
    migrations.slice(
      0,
      migrations.findIndex(({ name }) => name === BY_ID),
    ),
  );
  const [used, revoked] = [newJoinToken(), newJoinToken()];
  for (const token of [used, revoked]) {
    await before.orm.execute(
      sql`insert into join_tokens (hash, node_id, uses_left, expires_at, created_at)
        values (${hashKey(token)}, null, 2, ${new Date(NOW + 60_000).toISOString()}, ${new Date(NOW).toISOString()})`,
    );
  }
  const db = await open(schema);
  expect(await take(db, used)).toEqual({ nodeId: null });
  const listed = await listJoinTokens(db);
  expect(listed.find(({ hash }) => hash === hashKey(used))).toMatchObject({ uses: 2, usesLeft: 1, name: null });
  const id = listed.find(({ hash }) => hash === hashKey(revoked))?.id ?? "";
  expect(id).toMatch(/^tok_[0-9a-f]{26}$/);
  expect(await deleteJoinToken(db, id)).toBe(true);
  expect(await deleteJoinToken(db, id)).toBe(false);
  expect(await take(db, revoked)).toBeNull();
  expect(await take(db, used)).toEqual({ nodeId: null });
});

it("gives a request that is taken over from one that died a token of its own, and the first one's is worth nothing", async () => {
  const db = await open(postgres.freshSchema());
  const [id, unseen, shown] = [newId("tok"), newJoinToken(), newJoinToken()];
  await insertJoinToken(db, row(id, unseen));
  await insertJoinToken(db, row(id, shown));
  expect(await take(db, unseen)).toBeNull();
  expect(await take(db, shown)).toEqual({ nodeId: null });
  expect(await listJoinTokens(db)).toHaveLength(1);
});

it("answers no use after a revocation, however many ask at that moment", async () => {
  const db = await open(postgres.freshSchema());
  const [id, token] = [newId("tok"), newJoinToken()];
  await insertJoinToken(db, row(id, token));
  const racing = Array.from({ length: 4 }, () => take(db, token));
  expect(await deleteJoinToken(db, id)).toBe(true);
  expect(await Promise.all(Array.from({ length: 4 }, () => take(db, token)))).toEqual([null, null, null, null]);
  await Promise.all(racing);
});
