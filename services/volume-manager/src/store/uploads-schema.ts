import { bigint, pgTable, text, timestamp } from "drizzle-orm/pg-core";

export const UPLOAD_STATES = ["open", "completing", "complete"] as const;

const time = (name: string) => timestamp(name, { withTimezone: true, mode: "date" });

export const uploads = pgTable("uploads", {
  id: text("id").primaryKey(),
  volumeId: text("volume_id").notNull(),
  orgId: text("org_id").notNull(),
  /** Where the file appears when it is complete. */
  path: text("path").notNull(),
  /** completing: whole and checked; whether it has its name already is seen in the volume. */
  state: text("state", { enum: UPLOAD_STATES }).notNull(),
  size: bigint("size", { mode: "number" }).notNull(),
  /** So many bytes are on disk. */
  offset: bigint("offset", { mode: "number" }).notNull(),
  sha256: text("sha256"),
  mode: text("mode").notNull(),
  modifiedAt: time("modified_at"),
  expiresAt: time("expires_at").notNull(),
  createdAt: time("created_at").notNull(),
});
export type UploadRow = typeof uploads.$inferSelect;

export const uploadsMigration = {
  name: "0002-uploads",
  sql: `
    create table uploads (
      id text primary key,
      volume_id text not null references volumes on delete cascade,
      org_id text not null,
      path text not null,
      state text not null check (state in ('open', 'completing', 'complete')),
      size bigint not null check (size >= 0),
      "offset" bigint not null check ("offset" >= 0 and "offset" <= size),
      sha256 text,
      mode text not null,
      modified_at timestamptz,
      expires_at timestamptz not null,
      created_at timestamptz not null
    );
    create index uploads_volume on uploads (volume_id) where state <> 'complete';
    create index uploads_expired on uploads (expires_at);
  `,
};
