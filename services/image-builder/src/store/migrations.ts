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
];
