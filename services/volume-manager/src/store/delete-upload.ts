import { type Database, translate } from "@banyan/db";
import { eq } from "drizzle-orm";
import { uploads } from "./uploads-schema.ts";

export async function deleteUpload(db: Database, id: string): Promise<void> {
  await translate(async () => db.orm.delete(uploads).where(eq(uploads.id, id)));
}
