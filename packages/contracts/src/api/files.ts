import { z } from "zod";
import { LIMITS } from "../limits.ts";
import { SandboxPath, UserSpec } from "../sandbox.ts";

const flag = z.enum(["true", "false"]).default("false");
const Mode = z.string().regex(/^0?[0-7]{3,4}$/, "an octal mode such as 0644");
const at = { path: SandboxPath, user: UserSpec.optional() };

export const FileInfo = z.object({
  path: z.string(),
  name: z.string(),
  type: z.enum(["file", "directory", "symlink", "fifo", "socket", "char_device", "block_device"]),
  mode: z.string().describe("Octal, as 0644."),
  size: z.int(),
  modified_at: z.iso.datetime(),
  uid: z.int(),
  gid: z.int(),
  link_target: z.string().nullable(),
});
export type FileInfo = z.infer<typeof FileInfo>;

/** All below `/v1/sandboxes/{id}/files`. Content travels as raw bytes; the rest as JSON. */
/** `GET …/content?path=`: the bytes; honours `Range: bytes=a-b`. */
export const ReadQuery = z.strictObject(at);
/** `PUT …/content?path=`: the body becomes the file's content, whole or not at all (append excepted). */
export const WriteQuery = z.strictObject({
  ...at,
  mode: Mode.default("0644"),
  append: flag,
  exclusive: flag,
  parents: z.enum(["true", "false"]).default("true"),
});
export const WriteResult = z.object({ path: z.string(), bytes_written: z.int() });
/** `GET …/stat?path=` */
export const StatQuery = z.strictObject({ ...at, follow: z.enum(["true", "false"]).default("true") });
/** `GET …/checksum?path=` */
export const ChecksumQuery = z.strictObject(at);
export const ChecksumResult = z.object({ path: z.string(), size: z.int(), sha256: z.string().describe("Of its content, in hexadecimal.") });
/** `GET …/list?path=` */
export const ListQuery = z.strictObject({
  ...at,
  offset: z.coerce.number().int().min(0).default(0),
  limit: z.coerce.number().int().min(1).max(5_000).default(1_000),
});
export const ListResult = z.object({ entries: z.array(FileInfo), total: z.int(), next_offset: z.int().nullable() });
/** `POST …/mkdir` */
export const MkdirBody = z.strictObject({ ...at, mode: Mode.default("0755"), parents: z.boolean().default(true) });
/** `POST …/move` */
export const MoveBody = z.strictObject({
  from: SandboxPath,
  to: SandboxPath,
  overwrite: z.boolean().default(false),
  user: UserSpec.optional(),
});
/** `POST …/remove` */
export const RemoveBody = z.strictObject({ ...at, recursive: z.boolean().default(false) });
export const RemoveResult = z.object({ removed: z.int() });
/** `POST …/chmod` */
export const ChmodBody = z.strictObject({
  ...at,
  mode: Mode.optional(),
  uid: z.int().min(0).max(4_294_967_294).optional(),
  gid: z.int().min(0).max(4_294_967_294).optional(),
  recursive: z.boolean().default(false),
});
/** `GET …/find?path=&glob=` */
export const FindQuery = z.strictObject({
  ...at,
  glob: z.string().min(1).max(1024),
  depth: z.coerce.number().int().min(1).max(256).default(64),
  limit: z.coerce.number().int().min(1).max(LIMITS.searchResults).default(1_000),
});
export const FindResult = z.object({ entries: z.array(FileInfo), truncated: z.boolean() });
/** `POST …/grep` */
export const GrepBody = z.strictObject({
  ...at,
  pattern: z.string().min(1).max(4096),
  glob: z.string().min(1).max(1024).optional(),
  fixed: z.boolean().default(false).describe("Take the pattern literally; else POSIX extended regular expression."),
  ignore_case: z.boolean().default(false),
  limit: z.int().min(1).max(LIMITS.searchResults).default(1_000),
});
export const GrepResult = z.object({
  matches: z.array(z.object({ path: z.string(), line: z.int(), column: z.int(), text: z.string().describe("The line, cut at 2 KiB.") })),
  truncated: z.boolean(),
});
/** `POST …/replace`: literal text, each file written whole or not at all. */
export const ReplaceBody = z.strictObject({
  paths: z.array(SandboxPath).min(1).max(1_000),
  find: z.string().min(1),
  replace: z.string(),
  user: UserSpec.optional(),
});
export const ReplaceResult = z.object({ files: z.array(z.object({ path: z.string(), replacements: z.int() })), replacements: z.int() });
/** `GET …/tar?path=`: the tree as tar. `PUT …/tar?path=`: a tar (or tar.gz by content-encoding: gzip) is unpacked there. */
export const TarQuery = z.strictObject({ ...at, parents: z.enum(["true", "false"]).default("true") });
export const TarResult = z.object({ entries: z.int() });
