/** Applied once each, in order. A migration that was released is never changed. */
export const migrations = [
  {
    name: "0001-images",
    sql: `
      create table images (
        id text primary key,
        name text not null,
        org_id text,
        state text not null check (state in ('building', 'ready', 'failed')),
        layers jsonb not null,
        config jsonb not null,
        origin text not null,
        error text,
        recipe_key text not null,
        attempts integer not null,
        version integer not null,
        deadline_at timestamptz not null,
        created_at timestamptz not null
      );
      create unique index images_recipe on images (name, recipe_key) where org_id is null;
      create index images_name on images (name, created_at);
    `,
  },
  {
    name: "0002-builds",
    sql: `
      create table image_names (
        org_id text,
        name text not null,
        image_id text not null references images on delete cascade,
        named_at timestamptz not null
      );
      create unique index image_names_name on image_names (coalesce(org_id, ''), name);
      create index image_names_image on image_names (image_id);
      insert into image_names
        select distinct on (coalesce(org_id, ''), name) org_id, name || ':latest', id, created_at
        from images order by coalesce(org_id, ''), name, (state = 'ready') desc, created_at desc;

      drop index images_recipe;
      drop index images_name;
      alter table images drop column name;
      alter table images rename column recipe_key to key;
      alter table images
        add column kind text not null default 'recipe' check (kind in ('recipe', 'build', 'snapshot')),
        add column base jsonb,
        add column history jsonb not null default '[]',
        add column wanted_names jsonb not null default '[]',
        add column last_used_at timestamptz;
      update images set last_used_at = created_at, config = '{"ready": null, "resources": {}}' || config;
      alter table images alter column kind drop default, alter column history drop default, alter column last_used_at set not null;
      create unique index images_key on images (coalesce(org_id, ''), key);
      create index images_org on images (org_id, id desc);
      create index images_base on images ((base ->> 'pinnedTo'));

      create table builds (
        id text primary key,
        org_id text not null,
        image_id text not null references images on delete cascade,
        state text not null check (state in ('queued', 'building', 'exporting', 'ready', 'failed', 'cancelled')),
        key text not null,
        spec jsonb not null,
        base jsonb,
        steps jsonb not null,
        failure jsonb,
        attempts integer not null,
        cancel_wanted boolean not null,
        secrets_sealed text,
        holder text,
        lease_until timestamptz,
        deadline_at timestamptz not null,
        events integer not null,
        log_bytes bigint not null,
        created_at timestamptz not null,
        started_at timestamptz,
        ended_at timestamptz
      );
      create index builds_org on builds (org_id, id desc);
      create index builds_image on builds (image_id, id desc);
      create index builds_unfinished on builds (state, created_at) where ended_at is null;

      create table build_events (
        build_id text not null references builds on delete cascade,
        seq integer not null,
        at bigint not null,
        event jsonb not null,
        primary key (build_id, seq)
      );

      create table step_times (
        key text primary key,
        sort text not null,
        duration_ms real not null,
        measured_at timestamptz not null
      );
      create index step_times_sort on step_times (sort, measured_at desc);

      create table registries (
        org_id text not null,
        host text not null,
        username text not null,
        password_sealed text not null,
        created_at timestamptz not null,
        primary key (org_id, host)
      );

      create table layers (
        digest text primary key,
        size_bytes bigint not null,
        put_at timestamptz not null
      );
      create index layers_put on layers (put_at);
    `,
  },
  {
    name: "0003-contexts",
    sql: `
      create table contexts (
        org_id text not null,
        digest text not null,
        used_at timestamptz not null,
        primary key (org_id, digest)
      );
      create index contexts_used on contexts (used_at);
    `,
  },
];
