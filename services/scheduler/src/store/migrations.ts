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
      create index sandboxes_by_parent on sandboxes ((origin->>'parentId')) where origin is not null;
      -- Most children of forks have no labels: they cost nothing here.
      drop index sandboxes_by_label;
      create index sandboxes_by_label on sandboxes using gin (labels jsonb_path_ops) where labels <> '{}'::jsonb;
      create table forks (
        id text primary key,
        org_id text not null,
        parent_id text,
        source jsonb not null,
        spec jsonb not null,
        each jsonb not null,
        quota jsonb not null,
        template jsonb not null,
        frozen_id text,
        base jsonb,
        frozen_how jsonb,
        state text not null,
        state_reason text,
        ends_as text,
        deletes_all boolean not null,
        counts jsonb not null,
        rest_state text not null,
        rest_error jsonb,
        in_waves boolean not null,
        winner integer,
        version integer not null,
        write_id text not null,
        event_seq integer not null,
        created_at bigint not null,
        started_at bigint,
        ended_at bigint,
        deadline_at bigint not null,
        end_said boolean not null default false
      ) with (fillfactor = 50);
      create index forks_by_org on forks (org_id, id desc);
      create index forks_by_parent on forks (parent_id, id desc) where parent_id is not null;
      create index forks_unfinished on forks (id) where ended_at is null;
      create index forks_to_say on forks (ended_at) where ended_at is not null and not end_said;
      create index forks_by_end on forks (ended_at) where ended_at is not null;
      create table fork_children (
        fork_id text not null,
        index integer not null,
        sandbox_id text,
        node_id text,
        state text not null,
        attempts integer not null,
        failures integer not null,
        losses integer not null,
        score float8,
        error jsonb,
        outcome jsonb,
        start_ms float8,
        started_at bigint,
        ended_at bigint,
        primary key (fork_id, index)
      ) with (fillfactor = 60);
      -- Not compressed: its size tells what it takes in a page.
      alter table fork_children alter column outcome set storage external;
      create table fork_events (
        fork_id text not null,
        seq integer not null,
        at bigint not null,
        event jsonb not null,
        primary key (fork_id, seq)
      );`,
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
  {
    name: "0005-volumes",
    sql: `
      -- Most have no volumes: they cost nothing here.
      create index sandboxes_by_volume on sandboxes using gin ((spec->'volumes') jsonb_path_ops) where spec->'volumes' <> '[]'::jsonb;`,
  },
  {
    name: "0006-mount-intents",
    sql: `
      create table mount_intents (
        sandbox_id text primary key,
        epoch integer not null,
        kind text not null check (kind in ('mount', 'unmount')),
        mount jsonb not null,
        force boolean not null
      );`,
  },
] as const;
