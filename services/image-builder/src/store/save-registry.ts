import { type Database, translate } from "@banyan/db";
import { type RegistryRow, registries } from "./schema.ts";

export async function saveRegistry(db: Database, row: RegistryRow): Promise<RegistryRow> {
  const { username, passwordSealed } = row;
  const [saved = row] = await translate(async () =>
    db.orm
      .insert(registries)
      .values(row)
      .onConflictDoUpdate({ target: [registries.orgId, registries.host], set: { username, passwordSealed } })
      .returning(),
  );
  return saved;
}
