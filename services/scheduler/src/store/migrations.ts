/** Applied in order, each once; never edited after a release. */
export const migrations = [
  {
    name: "0001-sandboxes",
    sql: `
      create table sandboxes (
        id text primary key,
        org_id text not null,
        spec jsonb not null,
        labels jsonb not null,
        stack jsonb not null,
        launch jsonb,
        state text not null,
        state_reason text,
        node_id text,
        epoch integer not null,
        version integer not null,
        created_at bigint not null,
        started_at bigint,
        stopped_at bigint,
        last_active_at bigint not null,
        expires_at bigint,
        deadline_at bigint,
        updated_at bigint not null,
        check ((deadline_at is not null) = (state in ('starting', 'stopping', 'deleting')))
      );
      create index sandboxes_by_org on sandboxes (org_id, id desc);
      create index sandboxes_by_label on sandboxes using gin (labels jsonb_path_ops);
      create index sandboxes_by_deadline on sandboxes (state, deadline_at) where deadline_at is not null;
      create index sandboxes_by_node on sandboxes (node_id) where state <> 'deleted';
      create index sandboxes_by_end on sandboxes (updated_at) where state = 'deleted';
      create table transitions (
        sandbox_id text not null,
        version integer not null,
        epoch integer not null,
        from_state text,
        to_state text not null,
        reason text,
        node_id text,
        at bigint not null,
        primary key (sandbox_id, version)
      );
      create index transitions_by_time on transitions (at);
      create table outbox (
        seq bigint generated always as identity primary key,
        sandbox_id text not null,
        version integer not null,
        event jsonb not null
      );`,
  },
  {
    name: "0002-snapshots",
    sql: `
      create table snapshots (
        image_id text primary key,
        org_id text not null,
        sandbox_id text not null,
        result jsonb not null,
        at bigint not null
      );
      create index snapshots_by_time on snapshots (at);`,
  },
  {
    name: "0003-forks",
    sql: `
      alter table sandboxes add column origin jsonb, add column has_disk boolean not null default true;
      create index sandboxes_by_fork on sandboxes ((origin->>'forkId')) where origin is not null;
      create index sandboxes_by_parent on sandboxes ((origin->>'parentId')) where origin is not null;`,
  },
  {
    name: "0004-nodes",
    sql: `
      create table nodes (
        node_id text primary key,
        cordoned boolean not null,
        draining text,
        updated_at bigint not null
      );
      create table promotions (
        parent_id text not null,
        child_id text not null,
        forced boolean not null,
        at bigint not null
      );
      create index promotions_by_parent on promotions (parent_id, at desc);
      create index sandboxes_moving on sandboxes (stopped_at) where state = 'stopped' and state_reason = 'moving';
      create index sandboxes_with_disk on sandboxes (stopped_at) where state = 'stopped' and has_disk;`,
  },
] as const;
