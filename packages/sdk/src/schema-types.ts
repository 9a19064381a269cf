/** What a schema of the contracts takes and gives; only types, so that this package needs no schema library. */
interface Schema {
  _zod: { input: unknown; output: unknown };
}
export type InputOf<S extends Schema> = S["_zod"]["input"];
export type OutputOf<S extends Schema> = S["_zod"]["output"];
