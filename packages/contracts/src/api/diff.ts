import { z } from "zod";
import { LIMITS } from "../limits.ts";
import { SandboxId, SandboxPath } from "../sandbox.ts";

const TYPES = ["file", "directory", "symlink", "fifo", "socket", "char_device", "block_device"] as const;

/** What is, or was, under a path. */
export const DiffState = z.object({
  type: z.enum(TYPES),
  mode: z.string().describe("Octal, as 0644."),
  uid: z.int(),
  gid: z.int(),
  size: z.int(),
  modified_at: z.iso.datetime(),
  link_target: z.string().nullable(),
});

export const DIFF_ASPECTS = ["content", "type", "target", "device", "mode", "owner", "xattr", "mtime"] as const;

export const DiffEntry = z.object({
  path: z.string().describe("Absolute. Where it is no UTF-8, with replacement characters: then `path_base64` is the path."),
  path_base64: z.string().nullable(),
  kind: z.enum(["added", "changed", "deleted"]),
  what: z.array(z.enum(DIFF_ASPECTS)).describe("In which way it was changed; empty for the other kinds."),
  now: DiffState.nullable(),
  before: DiffState.nullable(),
  diff: z.string().nullable().describe("With `content=true`: the unified diff of a text file."),
  diff_left_out: z
    .enum(["binary", "not_utf8", "too_large", "gone"])
    .nullable()
    .describe(`With \`content=true\`: why a file has no diff; \`too_large\`: above ${LIMITS.diffFileBytes} bytes.`),
});
export type DiffEntry = z.infer<typeof DiffEntry>;

/** What `GET /v1/sandboxes/{id}/diff` answers. */
export const Diff = z.object({
  sandbox_id: z.string(),
  against: z.string().nullable().describe("The other sandbox; null: what this one was made from."),
  running: z.boolean().describe("It ran meanwhile: the files are as they were when each was looked at."),
  entries: z
    .array(DiffEntry)
    .max(LIMITS.diffEntriesPage)
    .describe("In the order of paths. A deleted directory is one entry; the parents of changes are none."),
  next_cursor: z.string().nullable().describe("A page may hold fewer than asked for, even none, and still have a next one."),
  summary: z
    .object({
      added: z.int(),
      changed: z.int(),
      deleted: z.int(),
      bytes: z.int().describe("Of files added and changed in content, as they are now."),
      complete: z.boolean().describe("False: there is more than could be counted."),
    })
    .nullable()
    .describe("Of all pages; only on the first one."),
  skipped: z.int().describe("Paths too deep to be looked at."),
});
export type Diff = z.infer<typeof Diff>;

/** `format`: else by the Accept header, `text/x-diff` or `application/x-tar`; else JSON. */
export const DiffQuery = z.strictObject({
  against: SandboxId.optional().describe("Another sandbox of the same tree, on the same node. Without: what this one was made from."),
  path: SandboxPath.optional().describe("Only this path and what is below it."),
  content: z.enum(["true", "false"]).default("false").describe("JSON only: with unified diffs of text files."),
  format: z.enum(["json", "patch", "tar"]).optional(),
  cursor: z.string().min(1).max(8_192).optional().describe("`next_cursor` of the page before; JSON only."),
  limit: z.coerce.number().int().min(1).max(LIMITS.diffEntriesPage).default(LIMITS.diffEntriesPage),
});

export const PATCH_CONTENT_TYPE = "text/x-diff";
export const TAR_CONTENT_TYPE = "application/x-tar";
