import { BACKEND_KINDS, type Remote, VERSION_STATES, VOLUME_STATES, type VolumeChanged } from "@banyan/contracts";
import { bigint, boolean, integer, jsonb, pgTable, real, text, timestamp } from "drizzle-orm/pg-core";
import type { z } from "zod";

const time = (name: string) => timestamp(name, { withTimezone: true, mode: "date" });

/** What volumes and versions have in common: how their files are being changed, and by whom. */
const work = () => ({
  /** Share of the copy that is done. */
  progress: real("progress"),
  /** What is under way moves every byte: few of these run at once. */
  isCopy: boolean("is_copy").notNull(),
  /** The process that carries it out, as long as its lease is renewed. */
  holder: text("holder"),
  leaseUntil: time("lease_until"),
  /** Tries begun. It fences what a try writes. */
  attempts: integer("attempts").notNull(),
  /** Tries of this deed that failed. */
  failures: integer("failures").notNull(),
  /** When an unfinished one is looked at again. */
  dueAt: time("due_at").notNull(),
  /** While somebody asks whether it is in use, in order to delete or restore it: nobody mounts it meanwhile. Null: nobody does. */
  closing: text("closing"),
  closingAt: time("closing_at"),
  usageBytes: bigint("usage_bytes", { mode: "number" }),
  usageFiles: bigint("usage_files", { mode: "number" }),
  measuredAt: time("measured_at"),
  /** Goes up at every change that is seen. */
  version: integer("version").notNull(),
  createdAt: time("created_at").notNull(),
  updatedAt: time("updated_at").notNull(),
});

export const volumes = pgTable("volumes", {
  id: text("id").primaryKey(),
  orgId: text("org_id").notNull(),
  name: text("name"),
  labels: jsonb("labels").$type<Record<string, string>>().notNull(),
  state: text("state", { enum: VOLUME_STATES }).notNull(),
  stateReason: text("state_reason"),
  backend: text("backend", { enum: BACKEND_KINDS }).notNull(),
  store: text("store").notNull(),
  /** Of an object volume, without its secrets. */
  remote: jsonb("remote").$type<Omit<Remote, "secrets">>(),
  secretsSealed: text("secrets_sealed"),
  quotaMb: integer("quota_mb"),
  originVolumeId: text("origin_volume_id"),
  originVersionId: text("origin_version_id"),
  /** What it is put back to while it is `restoring`. */
  restoreVersionId: text("restore_version_id"),
  /** Goes up when other files take the place of the content: who holds the earlier ones open lets go of them. */
  contentEpoch: integer("content_epoch").notNull(),
  measureDueAt: time("measure_due_at").notNull(),
  ...work(),
});
export type VolumeRow = typeof volumes.$inferSelect;

export const versions = pgTable("versions", {
  id: text("id").primaryKey(),
  orgId: text("org_id").notNull(),
  volumeId: text("volume_id").notNull(),
  name: text("name"),
  state: text("state", { enum: VERSION_STATES }).notNull(),
  stateReason: text("state_reason"),
  ...work(),
});
export type VersionRow = typeof versions.$inferSelect;

/** The key that the secrets of remotes are sealed with, as it is told from others. At most one row. */
export const secretKeys = pgTable("secret_keys", { fingerprint: text("fingerprint").notNull() });

/** What is to be said of changes: written with them, sent after them. */
export const outbox = pgTable("outbox", {
  seq: bigint("seq", { mode: "number" }).primaryKey().generatedAlwaysAsIdentity(),
  dedupeId: text("dedupe_id").notNull(),
  event: jsonb("event").$type<z.infer<(typeof VolumeChanged)["input"]>>().notNull(),
});
