import type { Database } from "@banyan/db";
import { eq } from "drizzle-orm";
import type { Sandbox } from "../domain/sandbox.ts";
import { fromRow } from "./rows.ts";
import { sandboxes } from "./schema.ts";

export async function readSandbox({ orm }: Database, id: string): Promise<Sandbox | null> {
  const [row] = await orm.select().from(sandboxes).where(eq(sandboxes.id, id));
  return row === undefined ? null : fromRow(row);
}
