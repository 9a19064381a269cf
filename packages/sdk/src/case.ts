/** The API speaks snake_case, TypeScript camelCase; one rule turns one into the other, in the types and in the values. */
export type CamelCase<S extends string> = S extends `${infer Head}_${infer Tail}` ? `${Head}${Capitalize<CamelCase<Tail>>}` : S;

/** Names chosen by users (of variables, of labels) have the index type `string` and stay as they are. */
export type Camel<T> = T extends readonly (infer Item)[]
  ? Camel<Item>[]
  : T extends object
    ? { [Key in keyof T as Key extends string ? CamelCase<Key> : Key]: Camel<T[Key]> }
    : T;

/** Below these the keys are the user's own. */
const VERBATIM = new Set(["env", "envCycle", "env_cycle", "labels", "details", "secrets", "options", "buildArgs", "build_args"]);
/** Files are a list of our own objects, or contents by the user's paths. */
const isVerbatim = (key: string, member: unknown): boolean => VERBATIM.has(key) || (key === "files" && !Array.isArray(member));

export const camelCase = (key: string): string => key.replaceAll(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
export const snakeCase = (key: string): string => key.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

export function camelize<T>(value: T): Camel<T> {
  return rename(value, camelCase) as Camel<T>;
}

export function snakeize(value: unknown): unknown {
  return rename(value, snakeCase);
}

function rename(value: unknown, nameOf: (key: string) => string): unknown {
  if (Array.isArray(value)) return value.map((item) => rename(item, nameOf));
  if (typeof value !== "object" || value === null) return value;
  const members = Object.entries(value).map(([key, member]) => [nameOf(key), isVerbatim(key, member) ? member : rename(member, nameOf)]);
  return Object.fromEntries(members);
}
