import { EVENTS_STREAM, event } from "@banyan/contracts";
import { newId } from "@banyan/kernel";
import postgres from "postgres";
import { z } from "zod";
import type { StubCluster } from "./stub-cluster.ts";

const MESSAGES = 200;
const ROWS_PER_STATEMENT = 500;
/** About what one batch of 500 children takes on the bus. */
const MESSAGE_BYTES = 64 * 1024;
const Floor = event("bench", "floor", z.object({ text: z.string() }));

/** 200 messages of a batch's size, each stored by JetStream before the next: what no queue on this stack can beat. Milliseconds in all. */
export async function publishFloor({ bus }: StubCluster): Promise<number> {
  const text = "x".repeat(MESSAGE_BYTES);
  await bus.emit(Floor, EVENTS_STREAM.name, { text });
  const startedMs = performance.now();
  for (let i = 0; i < MESSAGES; i++) await bus.emit(Floor, newId("evt"), { text });
  return performance.now() - startedMs;
}

/** The children's own rows once more, into a table with the same columns and indexes, 500 a statement. Milliseconds in all. */
export async function insertFloor({ databaseUrl, schema }: StubCluster): Promise<number> {
  const sql = postgres(databaseUrl, { max: 1, fetch_types: false, connection: { search_path: schema }, onnotice: () => {} });
  try {
    await sql`create table floor (like sandboxes including all)`;
    const rows = await sql<{ row: string }[]>`select to_json(s)::text as row from sandboxes s`;
    const statements = Array.from({ length: Math.ceil(rows.length / ROWS_PER_STATEMENT) }, (_, i) => {
      const some = rows.slice(i * ROWS_PER_STATEMENT, (i + 1) * ROWS_PER_STATEMENT);
      return `[${some.map(({ row }) => row).join(",")}]`;
    });
    const startedMs = performance.now();
    for (const json of statements) {
      await sql.unsafe("insert into floor select * from jsonb_populate_recordset(null::floor, $1::text::jsonb)", [json]);
    }
    return performance.now() - startedMs;
  } finally {
    await sql.end();
  }
}
