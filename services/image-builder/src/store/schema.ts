import {
  BUILD_STATES,
  type Build,
  type BuildEvent,
  IMAGE_STATES,
  type Image,
  type ImageConfig,
  type ImageSpec,
  type LayerRef,
} from "@banyan/contracts";
import { sql } from "drizzle-orm";
import { bigint, boolean, index, integer, jsonb, pgTable, primaryKey, real, text, timestamp, uniqueIndex } from "drizzle-orm/pg-core";
import type { ResolvedBase } from "../domain/plan.ts";

const time = (name: string) => timestamp(name, { withTimezone: true, mode: "date" });

export const images = pgTable(
  "images",
  {
    id: text("id").primaryKey(),
    /** Null: visible to all. */
    orgId: text("org_id"),
    kind: text("kind", { enum: ["recipe", "build", "snapshot"] }).notNull(),
    state: text("state", { enum: IMAGE_STATES }).notNull(),
    layers: jsonb("layers").$type<LayerRef[]>().notNull(),
    config: jsonb("config").$type<ImageConfig>().notNull(),
    origin: text("origin").notNull(),
    base: jsonb("base").$type<Image["base"]>(),
    history: jsonb("history").$type<Image["history"]>().notNull(),
    /** Names it is given once it is ready. */
    wantedNames: jsonb("wanted_names").$type<string[]>().notNull(),
    error: text("error"),
    /** What it is made of: of a recipe, or of a build; a snapshot's is its own id. */
    key: text("key").notNull(),
    /** Failures in a row. */
    attempts: integer("attempts").notNull(),
    /** Goes up at every transition; commands carry it. */
    version: integer("version").notNull(),
    /** When the loop looks at an unfinished or failed one again. */
    deadlineAt: time("deadline_at").notNull(),
    createdAt: time("created_at").notNull(),
    lastUsedAt: time("last_used_at").notNull(),
  },
  (table) => [uniqueIndex("images_key").on(sql`coalesce(${table.orgId}, '')`, table.key), index("images_org").on(table.orgId, table.id)],
);
export type ImageRow = typeof images.$inferSelect;

export const imageNames = pgTable(
  "image_names",
  {
    /** Null: a name that all see. */
    orgId: text("org_id"),
    /** With its tag. */
    name: text("name").notNull(),
    imageId: text("image_id").notNull(),
    namedAt: time("named_at").notNull(),
  },
  (table) => [uniqueIndex("image_names_name").on(sql`coalesce(${table.orgId}, '')`, table.name)],
);

export const builds = pgTable("builds", {
  id: text("id").primaryKey(),
  orgId: text("org_id").notNull(),
  imageId: text("image_id").notNull(),
  state: text("state", { enum: BUILD_STATES }).notNull(),
  key: text("key").notNull(),
  spec: jsonb("spec").$type<ImageSpec>().notNull(),
  /** What its bases were pinned to when it was asked for: a restart builds on the same. */
  base: jsonb("base").$type<PinnedBases>(),
  steps: jsonb("steps").$type<Build["steps"]>().notNull(),
  failure: jsonb("failure").$type<Build["failure"]>(),
  /** Executions begun. It fences what an execution writes. */
  attempts: integer("attempts").notNull(),
  cancelWanted: boolean("cancel_wanted").notNull(),
  /** Until its end, so that another builder can go on. */
  secretsSealed: text("secrets_sealed"),
  /** The builder that executes it, as long as its lease is renewed. */
  holder: text("holder"),
  leaseUntil: time("lease_until"),
  /** Of waiting while it is queued, of the whole once it has begun. */
  deadlineAt: time("deadline_at").notNull(),
  /** The number of its last event. */
  events: integer("events").notNull(),
  logBytes: bigint("log_bytes", { mode: "number" }).notNull(),
  createdAt: time("created_at").notNull(),
  startedAt: time("started_at"),
  endedAt: time("ended_at"),
});
export type BuildRow = typeof builds.$inferSelect;

export interface PinnedBases {
  base: ResolvedBase | null;
  /** Of a Dockerfile's FROM lines. */
  from: ResolvedBase[];
}

export const buildEvents = pgTable(
  "build_events",
  {
    buildId: text("build_id").notNull(),
    seq: integer("seq").notNull(),
    at: bigint("at", { mode: "number" }).notNull(),
    event: jsonb("event").$type<BuildEvent["event"]>().notNull(),
  },
  (table) => [primaryKey({ columns: [table.buildId, table.seq] })],
);

/** How long a step took when it was last carried out. */
export const stepTimes = pgTable("step_times", {
  key: text("key").primaryKey(),
  /** `apt`, `run`, …: where nothing is known of a step, its like tell. */
  sort: text("sort").notNull(),
  durationMs: real("duration_ms").notNull(),
  measuredAt: time("measured_at").notNull(),
});

export const registries = pgTable(
  "registries",
  {
    orgId: text("org_id").notNull(),
    host: text("host").notNull(),
    username: text("username").notNull(),
    passwordSealed: text("password_sealed").notNull(),
    createdAt: time("created_at").notNull(),
  },
  (table) => [primaryKey({ columns: [table.orgId, table.host] })],
);

export type RegistryRow = typeof registries.$inferSelect;

/** What was put into the blob store, so that it can be found again when nothing refers to it. */
export const layers = pgTable("layers", {
  digest: text("digest").primaryKey(),
  sizeBytes: bigint("size_bytes", { mode: "number" }).notNull(),
  putAt: time("put_at").notNull(),
});

/** Uploads that builds were asked to copy from. */
export const contexts = pgTable(
  "contexts",
  { orgId: text("org_id").notNull(), digest: text("digest").notNull(), usedAt: time("used_at").notNull() },
  (table) => [primaryKey({ columns: [table.orgId, table.digest] })],
);
