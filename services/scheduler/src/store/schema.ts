import type { ImageConfig, Labels, NodeSnapshot, OutputOf, SandboxOrigin, SandboxSpec, SandboxState } from "@banyan/contracts";
import { bigint, boolean, index, integer, jsonb, pgTable, primaryKey, text } from "drizzle-orm/pg-core";
import type { z } from "zod";
import type { Changed } from "../domain/decide.ts";
import type { Launch, Stack } from "../domain/sandbox.ts";

/** Unix milliseconds. */
const time = (name: string) => bigint(name, { mode: "number" });

/** One row a sandbox, kept for a while after its end so that a second delete finds the first. */
export const sandboxes = pgTable(
  "sandboxes",
  {
    id: text("id").primaryKey(),
    orgId: text("org_id").notNull(),
    /** All of the spec but its labels. */
    spec: jsonb("spec").$type<Omit<SandboxSpec, "labels">>().notNull(),
    labels: jsonb("labels").$type<z.infer<typeof Labels>>().notNull(),
    stack: jsonb("stack").$type<Stack>().notNull(),
    origin: jsonb("origin").$type<SandboxOrigin>(),
    hasDisk: boolean("has_disk").notNull(),
    launch: jsonb("launch").$type<Launch>(),
    state: text("state").$type<SandboxState>().notNull(),
    stateReason: text("state_reason"),
    nodeId: text("node_id"),
    epoch: integer("epoch").notNull(),
    version: integer("version").notNull(),
    createdAt: time("created_at").notNull(),
    startedAt: time("started_at"),
    stoppedAt: time("stopped_at"),
    lastActiveAt: time("last_active_at").notNull(),
    expiresAt: time("expires_at"),
    deadlineAt: time("deadline_at"),
    updatedAt: time("updated_at").notNull(),
  },
  (table) => [
    index("sandboxes_by_org").on(table.orgId, table.id.desc()),
    index("sandboxes_by_label").using("gin", table.labels),
    index("sandboxes_by_deadline").on(table.state, table.deadlineAt),
    index("sandboxes_by_node").on(table.nodeId),
  ],
);

/** What happened to each sandbox, for people who ask why. Bounded by the purge. */
export const transitions = pgTable(
  "transitions",
  {
    sandboxId: text("sandbox_id").notNull(),
    version: integer("version").notNull(),
    epoch: integer("epoch").notNull(),
    fromState: text("from_state").$type<SandboxState>(),
    toState: text("to_state").$type<SandboxState>().notNull(),
    reason: text("reason"),
    nodeId: text("node_id"),
    at: time("at").notNull(),
  },
  (table) => [primaryKey({ columns: [table.sandboxId, table.version] }), index("transitions_by_time").on(table.at)],
);

/** What nodes made of sandboxes, until well after each has become an image: so that a repeated call freezes nothing a second time. */
export const snapshots = pgTable(
  "snapshots",
  {
    imageId: text("image_id").primaryKey(),
    orgId: text("org_id").notNull(),
    sandboxId: text("sandbox_id").notNull(),
    result: jsonb("result").$type<OutputOf<typeof NodeSnapshot> & { config: ImageConfig }>().notNull(),
    at: time("at").notNull(),
  },
  (table) => [index("snapshots_by_time").on(table.at)],
);
export type Snapshot = typeof snapshots.$inferSelect;

/** Events written with the change they tell of, and removed when the stream has them. */
export const outbox = pgTable("outbox", {
  seq: bigint("seq", { mode: "number" }).primaryKey().generatedAlwaysAsIdentity(),
  sandboxId: text("sandbox_id").notNull(),
  version: integer("version").notNull(),
  event: jsonb("event").$type<Changed>().notNull(),
});
