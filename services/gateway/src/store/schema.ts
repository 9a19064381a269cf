import type { Quota } from "@banyan/contracts";
import { boolean, index, integer, jsonb, pgTable, primaryKey, text, timestamp } from "drizzle-orm/pg-core";

const time = (name: string) => timestamp(name, { withTimezone: true, mode: "date" });

export const organisations = pgTable("organisations", {
  id: text("id").primaryKey(),
  name: text("name").notNull().unique("organisations_name"),
  quota: jsonb("quota").$type<Quota>().notNull(),
  createdAt: time("created_at").notNull(),
});
export type OrganisationRow = typeof organisations.$inferSelect;

export const apiKeys = pgTable(
  "api_keys",
  {
    id: text("id").primaryKey(),
    organisationId: text("organisation_id")
      .notNull()
      .references(() => organisations.id),
    name: text("name").notNull(),
    role: text("role", { enum: ["admin", "member"] }).notNull(),
    hint: text("hint").notNull(),
    /** sha256 of the secret, hex. The secret itself is kept nowhere. */
    hash: text("hash").notNull().unique("api_keys_hash"),
    createdAt: time("created_at").notNull(),
    lastUsedAt: time("last_used_at"),
    revokedAt: time("revoked_at"),
  },
  (table) => [index("api_keys_organisation").on(table.organisationId)],
);
export type ApiKeyRow = typeof apiKeys.$inferSelect;

/** What a machine joins the cluster with. */
export const joinTokens = pgTable("join_tokens", {
  id: text("id").primaryKey(),
  name: text("name"),
  /** sha256 of the token, hex. The token itself is kept nowhere. */
  hash: text("hash").notNull().unique("join_tokens_hash"),
  /** The only node that may use it; null: any. */
  nodeId: text("node_id"),
  uses: integer("uses").notNull(),
  usesLeft: integer("uses_left").notNull(),
  expiresAt: time("expires_at").notNull(),
  createdAt: time("created_at").notNull(),
});
export type JoinTokenRow = typeof joinTokens.$inferSelect;

/** One row per Idempotency-Key of an organisation: under way while `status` is null, else with the reply to repeat. */
export const idempotencyKeys = pgTable(
  "idempotency_keys",
  {
    organisationId: text("organisation_id").notNull(),
    key: text("key").notNull(),
    fingerprint: text("fingerprint").notNull(),
    /** The id of what the request makes, fixed before it is made; null where it makes nothing. */
    resourceId: text("resource_id"),
    /** Goes up when the request is taken over from one that died; only the latest claim may write the reply. */
    claim: integer("claim").notNull(),
    /** After this a request without a reply counts as dead. */
    deadlineAt: time("deadline_at").notNull(),
    status: integer("status"),
    body: text("body"),
    /** Whether `body` is sealed with the caller's key. */
    sealed: boolean("sealed").notNull().default(false),
    createdAt: time("created_at").notNull(),
  },
  (table) => [primaryKey({ columns: [table.organisationId, table.key] }), index("idempotency_keys_created").on(table.createdAt)],
);
export type IdempotencyRow = typeof idempotencyKeys.$inferSelect;
