import { IMAGE_STATES, type Image, type ImageConfig, type LayerRef } from "@banyan/contracts";
import { index, integer, jsonb, pgTable, text, timestamp } from "drizzle-orm/pg-core";

const time = (name: string) => timestamp(name, { withTimezone: true, mode: "date" });

export const images = pgTable(
  "images",
  {
    id: text("id").primaryKey(),
    name: text("name").notNull(),
    /** Null: visible to all. */
    orgId: text("org_id"),
    state: text("state", { enum: IMAGE_STATES }).notNull(),
    layers: jsonb("layers").$type<LayerRef[]>().notNull(),
    config: jsonb("config").$type<ImageConfig>().notNull(),
    origin: text("origin").notNull(),
    error: text("error"),
    recipeKey: text("recipe_key").notNull(),
    /** Failures in a row. */
    attempts: integer("attempts").notNull(),
    /** Goes up at every transition; commands carry it. */
    version: integer("version").notNull(),
    /** When the loop looks at an unfinished or failed one again. */
    deadlineAt: time("deadline_at").notNull(),
    createdAt: time("created_at").notNull(),
  },
  (table) => [index("images_name").on(table.name, table.createdAt)],
);
export type ImageRow = typeof images.$inferSelect;

export function viewOf(row: ImageRow): Image {
  const { id, name, orgId, state, layers, config, origin, error } = row;
  return { id, name, orgId, state, layers, config, origin, error, createdAt: row.createdAt.getTime() };
}
