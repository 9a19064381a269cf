/** Applied once each, in order. A migration that was released is never changed. */
export const migrations = [
  {
    name: "0001-keys-and-organisations",
    sql: `
      create table organisations (
        id text primary key,
        name text not null constraint organisations_name unique,
        quota jsonb not null,
        created_at timestamptz not null
      );
      create table api_keys (
        id text primary key,
        organisation_id text not null references organisations (id),
        name text not null,
        role text not null check (role in ('admin', 'member')),
        hint text not null,
        hash text not null constraint api_keys_hash unique,
        created_at timestamptz not null,
        last_used_at timestamptz,
        revoked_at timestamptz
      );
      create index api_keys_organisation on api_keys (organisation_id);
      create table idempotency_keys (
        organisation_id text not null,
        key text not null,
        fingerprint text not null,
        resource_id text,
        claim integer not null,
        deadline_at timestamptz not null,
        status integer,
        body text,
        sealed boolean not null default false,
        created_at timestamptz not null,
        primary key (organisation_id, key)
      );
      create index idempotency_keys_created on idempotency_keys (created_at);
    `,
  },
  {
    name: "0002-join-tokens",
    sql: `
      create table join_tokens (
        hash text primary key,
        node_id text,
        uses_left integer not null,
        expires_at timestamptz not null,
        created_at timestamptz not null
      );
    `,
  },
  {
    name: "0003-join-tokens-by-id",
    sql: `
      alter table join_tokens add column id text, add column name text, add column uses integer;
      update join_tokens set id = 'tok_' || left(hash, 26), uses = uses_left;
      alter table join_tokens
        alter column id set not null,
        alter column uses set not null,
        drop constraint join_tokens_pkey,
        add primary key (id),
        add constraint join_tokens_hash unique (hash);
    `,
  },
];
