import { uploadsMigration } from "./uploads-schema.ts";

const WORK = `
        progress real,
        is_copy boolean not null,
        holder text,
        lease_until timestamptz,
        attempts integer not null,
        failures integer not null,
        due_at timestamptz not null,
        closing text,
        closing_at timestamptz,
        usage_bytes bigint,
        usage_files bigint,
        measured_at timestamptz,
        version integer not null,
        created_at timestamptz not null,
        updated_at timestamptz not null`;

/** Applied once each, in order. A migration that was released is never changed. */
export const migrations = [
  {
    name: "0001-volumes",
    sql: `
      create table volumes (
        id text primary key,
        org_id text not null,
        name text,
        labels jsonb not null,
        state text not null check (state in ('creating', 'ready', 'restoring', 'failed', 'deleting', 'deleted')),
        state_reason text,
        backend text not null check (backend in ('directory', 'object')),
        store text not null,
        remote jsonb,
        secrets_sealed text,
        quota_mb integer,
        origin_volume_id text,
        origin_version_id text,
        restore_version_id text,
        content_epoch integer not null,
        measure_due_at timestamptz not null,
        ${WORK}
      );
      create unique index volumes_name on volumes (org_id, name) where state not in ('deleting', 'deleted');
      create index volumes_org on volumes (org_id, id desc);
      create index volumes_unfinished on volumes (due_at) where state in ('creating', 'restoring', 'deleting');
      create index volumes_deleted on volumes (updated_at) where state = 'deleted';
      create index volumes_measure on volumes (measure_due_at) where state = 'ready';

      create table versions (
        id text primary key,
        org_id text not null,
        volume_id text not null references volumes on delete cascade,
        name text,
        state text not null check (state in ('creating', 'ready', 'failed', 'deleting', 'deleted')),
        state_reason text,
        ${WORK}
      );
      create unique index versions_name on versions (volume_id, name) where state not in ('deleting', 'deleted');
      create index versions_volume on versions (volume_id, id desc);
      create index versions_unfinished on versions (due_at) where state in ('creating', 'deleting');
      create index versions_deleted on versions (updated_at) where state = 'deleted';

      create table outbox (
        seq bigint generated always as identity primary key,
        dedupe_id text not null,
        event jsonb not null
      );
    `,
  },
  uploadsMigration,
  {
    name: "0003-several-at-once",
    sql: `
      create table secret_keys (fingerprint text not null, is_only boolean not null default true unique check (is_only));
      create table upload_holds (upload_id text primary key, holder text not null, lease_until timestamptz not null);
      create index uploads_org on uploads (org_id) where state <> 'complete';
      create index uploads_complete on uploads (expires_at) where state = 'complete';
      create index versions_org on versions (org_id) where state <> 'deleted';
      create index versions_unmeasured on versions (created_at) where state = 'ready' and measured_at is null;
    `,
  },
];
