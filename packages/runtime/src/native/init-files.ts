import { messageOf } from "@banyan/kernel";
import {
  type FileEntry,
  type GrepMatch,
  type ReplaceCount,
  readEntry,
  readGrepMatch,
  readReplaceCount,
  readWatchEvent,
  typeLetter,
  type WatchEvent,
} from "./file-entry.ts";
import { encodeFrame, type Field, Fields, type FieldValue } from "./frame.ts";
import { FrameStream } from "./frame-stream.ts";
import { NativeError, protocolViolation } from "./native-error.ts";
import {
  type Bytes,
  type CallOptions,
  call,
  collect,
  framesUntilOk,
  onlyFrame,
  sendBytes,
  sendStream,
  withDeadline,
  writeData,
} from "./request.ts";
import { Flag, Tag, Type } from "./wire.ts";

/** Bytes where a name is no UTF-8. */
export type Path = string | Uint8Array;

export interface FileOptions extends CallOptions {
  /** Whose rights apply; root when absent. */
  user?: string;
  /** Also `/.banyan` of a root that was entered, which is the host's own. */
  own?: boolean;
}

export interface WriteOptions extends FileOptions {
  mode?: number;
  append?: boolean;
  /** Makes missing directories above. */
  parents?: boolean;
  /** Refuses when the path exists. */
  exclusive?: boolean;
  /** Writes into the file from this byte on, instead of replacing it whole. */
  offset?: number;
  /** With `offset`: how much comes, so that it is refused before its first byte where there is no room for the last. */
  size?: number;
  /** With `append` or `offset`: on disk once this resolves. */
  sync?: boolean;
}

/** A tree as it travels: an entry, and after a file's entry exactly its `size` bytes. */
export type TreePart = { entry: FileEntry } | { data: Uint8Array };

export interface FileContent {
  entry: FileEntry;
  /** Closing it early hangs up. */
  data: AsyncGenerator<Buffer, void, undefined>;
}

export interface Search<T> {
  found: T[];
  /** There was more than `limit`. */
  truncated: boolean;
}

const LIST_MAX = 1_000_000;
const FIND_LIMIT = 10_000;
const GREP_LIMIT = 1_000;
/** A search or a removal may walk a large tree. */
const WALK_DEADLINE_MS = 120_000;

function flagsOf(...flags: readonly (readonly [boolean | undefined, number])[]): Field[] {
  const sum = flags.reduce((all, [wanted, flag]) => (wanted ? all | flag : all), 0);
  return sum === 0 ? [] : [[Tag.Flags, sum]];
}

function optional(tag: number, value: FieldValue | undefined): Field[] {
  return value === undefined ? [] : [[tag, value]];
}

/** File operations, done by `init` inside the sandbox: a symlink leads only to what the sandbox itself can reach. */
export class InitFiles {
  readonly #socketPath: string;

  constructor(socketPath: string) {
    this.#socketPath = socketPath;
  }

  async stat(path: Path, options: FileOptions & { noFollow?: boolean } = {}): Promise<FileEntry> {
    const fields = [...this.#on(path, options), ...flagsOf([options.noFollow, Flag.Nofollow], [options.own, Flag.Own])];
    return readEntry(await call(this.#socketPath, Type.Stat, fields, options, Type.Entry));
  }

  /** Sorted by name. `total` counts the whole directory. */
  async list(
    path: Path,
    options: FileOptions & { offset?: number; limit?: number } = {},
  ): Promise<{ entries: FileEntry[]; total: number }> {
    const fields = [
      ...this.#on(path, options),
      ...optional(Tag.Offset, options.offset),
      ...optional(Tag.Limit, options.limit),
      ...flagsOf([options.own, Flag.Own]),
    ];
    const { items, ok } = await this.#collect(Type.List, fields, Type.Entry, options.limit ?? LIST_MAX, readEntry, options);
    return { entries: items, total: ok.number(Tag.Size) };
  }

  /** The file's entry at once, its bytes as they are asked for. */
  async read(path: Path, options: FileOptions & { offset?: number; length?: number } = {}): Promise<FileContent> {
    const fields = [
      ...this.#on(path, options),
      ...optional(Tag.Offset, options.offset),
      ...optional(Tag.Length, options.length),
      ...flagsOf([options.own, Flag.Own]),
    ];
    const stream = this.#open(Type.Read, fields, options);
    try {
      const entry = readEntry(await onlyFrame(stream, Type.Entry));
      return { entry, data: payloads(stream) };
    } catch (failure) {
      stream.connection.close();
      throw failure;
    }
  }

  /** All of the content becomes visible at once, or nothing does; with `append` or `offset` it is written in place. */
  async write(path: Path, content: Bytes, options: WriteOptions = {}): Promise<{ bytes: number }> {
    const flags = flagsOf(
      [options.append, Flag.Append],
      [options.parents, Flag.Parents],
      [options.exclusive, Flag.Exclusive],
      [options.own, Flag.Own],
      [options.sync, Flag.Sync],
    );
    const fields = [...this.#on(path, options), ...optional(Tag.Mode, options.mode), ...flags];
    fields.push(...optional(Tag.Offset, options.offset), ...optional(Tag.Size, options.size));
    const stream = this.#open(Type.Write, fields, options);
    const ok = await sendStream(stream, () => sendBytes(stream, content));
    return { bytes: ok.number(Tag.Size) };
  }

  async mkdir(path: Path, options: FileOptions & { mode?: number; parents?: boolean } = {}): Promise<void> {
    const fields = [
      ...this.#on(path, options),
      ...optional(Tag.Mode, options.mode),
      ...flagsOf([options.parents, Flag.Parents], [options.own, Flag.Own]),
    ];
    await call(this.#socketPath, Type.Mkdir, fields, options);
  }

  /** `sync`: the new name is on disk once this resolves. */
  async move(path: Path, to: Path, options: FileOptions & { exclusive?: boolean; sync?: boolean } = {}): Promise<void> {
    const fields: Field[] = [
      ...this.#on(path, options),
      [Tag.To, to],
      ...flagsOf([options.exclusive, Flag.Exclusive], [options.own, Flag.Own], [options.sync, Flag.Sync]),
    ];
    await call(this.#socketPath, Type.Move, fields, options);
  }

  async remove(path: Path, options: FileOptions & { recursive?: boolean } = {}): Promise<{ removed: number }> {
    const fields = [...this.#on(path, options), ...flagsOf([options.recursive, Flag.Recursive], [options.own, Flag.Own])];
    const reply = await call(this.#socketPath, Type.Remove, fields, { deadlineMs: WALK_DEADLINE_MS, ...options });
    return { removed: new Fields(reply).number(Tag.Size) };
  }

  /** Mode, owner and time of the last change, whichever are given. */
  async chmod(
    path: Path,
    options: FileOptions & { mode?: number; uid?: number; gid?: number; mtimeMs?: number; recursive?: boolean },
  ): Promise<void> {
    const { mode, uid, gid, mtimeMs } = options;
    const change = [
      ...optional(Tag.Mode, mode),
      ...optional(Tag.Uid, uid),
      ...optional(Tag.Gid, gid),
      ...optional(Tag.MtimeNs, mtimeMs === undefined ? undefined : nanoseconds(mtimeMs)),
    ];
    const fields = [...this.#on(path, options), ...change, ...flagsOf([options.recursive, Flag.Recursive], [options.own, Flag.Own])];
    await call(this.#socketPath, Type.Chmod, fields, { deadlineMs: WALK_DEADLINE_MS, ...options });
  }

  async find(path: Path, options: FileOptions & { glob?: string; limit?: number; depth?: number } = {}): Promise<Search<FileEntry>> {
    const limit = options.limit ?? FIND_LIMIT;
    const fields: Field[] = [
      ...this.#on(path, options),
      [Tag.Limit, limit],
      ...optional(Tag.Glob, options.glob),
      ...optional(Tag.Depth, options.depth),
    ];
    return this.#search(Type.Find, fields, Type.Entry, limit, readEntry, options);
  }

  async grep(
    path: Path,
    pattern: string,
    options: FileOptions & { glob?: string; limit?: number; fixed?: boolean; ignoreCase?: boolean } = {},
  ): Promise<Search<GrepMatch>> {
    const limit = options.limit ?? GREP_LIMIT;
    const flags = flagsOf([options.fixed, Flag.Fixed], [options.ignoreCase, Flag.IgnoreCase]);
    const fields: Field[] = [
      ...this.#on(path, options),
      [Tag.Pattern, pattern],
      [Tag.Limit, limit],
      ...flags,
      ...optional(Tag.Glob, options.glob),
    ];
    return this.#search(Type.Grep, fields, Type.Match, limit, readGrepMatch, options);
  }

  async replace(
    paths: readonly Path[],
    pattern: string,
    to: string,
    options: FileOptions & { regex?: boolean } = {},
  ): Promise<{ files: ReplaceCount[]; total: number }> {
    const fields: Field[] = paths.map((path) => [Tag.Path, path]);
    fields.push([Tag.Pattern, pattern], [Tag.To, to], ...optional(Tag.User, options.user), ...flagsOf([options.regex, Flag.Regex]));
    const { items, ok } = await this.#collect(Type.Replace, fields, Type.Match, paths.length, readReplaceCount, options);
    return { files: items, total: ok.number(Tag.Size) };
  }

  /** Everything below a directory, depth first, paths relative to it. */
  async *treeRead(path: Path, options: FileOptions = {}): AsyncGenerator<TreePart, void, undefined> {
    const stream = this.#open(Type.TreeRead, this.#on(path, options), options);
    let left = 0;
    for await (const frame of framesUntilOk(stream, [Type.Entry, Type.Data])) {
      if (frame.type === Type.Data) {
        left -= frame.payload.length;
        if (left < 0) throw protocolViolation("more data than the entry said");
        yield { data: frame.payload };
        continue;
      }
      if (left !== 0) throw protocolViolation("less data than the entry said");
      const entry = readEntry(frame.payload);
      left = entry.type === "file" ? entry.size : 0;
      yield { entry };
    }
  }

  /**
   * Unpacks a tree below `path`; no entry can leave it. `whole`: nothing of it is seen before all of it is there, other than on what is mounted below
   * `path`. What a failure leaves is told by its `stays`.
   */
  async treeWrite(
    path: Path,
    parts: AsyncIterable<TreePart> | Iterable<TreePart>,
    options: FileOptions & { parents?: boolean; whole?: boolean } = {},
  ): Promise<{ entries: number }> {
    const flags = flagsOf([options.parents, Flag.Parents], [options.whole, Flag.Whole]);
    const stream = this.#open(Type.TreeWrite, [...this.#on(path, options), ...flags], options);
    const end: Field[] = [];
    let broken: { cause: unknown } | null = null;
    // Told, not hung up on: the answer says what stays, and comes when the rest is gone.
    const giveUp = (cause: unknown): void => {
      broken = { cause };
      end.push([Tag.Flags, Flag.Truncated]);
    };
    const send = async (): Promise<void> => {
      for await (const part of endingEarly(parts, giveUp)) {
        if ("data" in part) await writeData(stream, part.data);
        else await stream.connection.write(encodeTreeEntry(part.entry));
      }
    };
    const ok = await sendStream(stream, send, end).catch((thrown: unknown) => {
      throw broken === null ? thrown : givenUp(thrown, broken.cause);
    });
    return { entries: ok.number(Tag.Size) };
  }

  /** Changes below a directory, from the moment this resolves until the iteration is left. */
  async watch(path: Path, options: FileOptions & { recursive?: boolean } = {}): Promise<AsyncGenerator<WatchEvent, void, undefined>> {
    const stream = this.#open(Type.Watch, [...this.#on(path, options), ...flagsOf([options.recursive, Flag.Recursive])], options);
    try {
      await onlyFrame(stream, Type.Ok);
      return events(stream);
    } catch (failure) {
      stream.connection.close();
      throw failure;
    }
  }

  #on(path: Path, options: FileOptions): Field[] {
    if (typeof path !== "string" && path.includes(0)) throw new NativeError("bad_request", "a path may not hold a NUL byte");
    return [[Tag.Path, path], ...optional(Tag.User, options.user)];
  }

  #open(type: number, fields: readonly Field[], options: CallOptions): FrameStream {
    return new FrameStream(this.#socketPath, encodeFrame(type, fields), options.signal);
  }

  #collect<T>(type: number, fields: readonly Field[], reply: number, most: number, read: (payload: Buffer) => T, options: CallOptions) {
    const stream = this.#open(type, fields, options);
    return withDeadline(stream, options.deadlineMs ?? WALK_DEADLINE_MS, () => collect(stream, reply, most, read));
  }

  async #search<T>(
    type: number,
    fields: readonly Field[],
    reply: number,
    limit: number,
    read: (payload: Buffer) => T,
    options: CallOptions,
  ): Promise<Search<T>> {
    const { items, ok } = await this.#collect(type, fields, reply, limit, read, options);
    return { found: items, truncated: (ok.number(Tag.Flags, 0) & Flag.Truncated) !== 0 };
  }
}

async function* payloads(stream: FrameStream): AsyncGenerator<Buffer, void, undefined> {
  for await (const frame of framesUntilOk(stream, [Type.Data])) yield frame.payload;
}

async function* events(stream: FrameStream): AsyncGenerator<WatchEvent, void, undefined> {
  for await (const frame of framesUntilOk(stream, [Type.Event])) yield readWatchEvent(frame.payload);
}

/** A source that fails ends instead. */
async function* endingEarly<T>(
  source: AsyncIterable<T> | Iterable<T>,
  onFailure: (cause: unknown) => void,
): AsyncGenerator<T, void, undefined> {
  try {
    yield* source;
  } catch (cause) {
    onFailure(cause);
  }
}

function givenUp(thrown: unknown, cause: unknown): NativeError {
  const stays = thrown instanceof NativeError ? thrown.stays : undefined;
  return new NativeError("aborted", messageOf(cause), { cause, ...(stays && { stays }) });
}

function encodeTreeEntry(entry: FileEntry): Buffer {
  const fields: Field[] = [
    [Tag.Path, entry.rawPath ?? entry.path],
    [Tag.Type, typeLetter(entry.type)],
    [Tag.Mode, entry.mode],
    [Tag.Uid, entry.uid],
    [Tag.Gid, entry.gid],
    [Tag.MtimeNs, nanoseconds(entry.mtimeMs)],
    ...optional(Tag.Link, entry.link),
  ];
  return encodeFrame(Type.Entry, fields);
}

const nanoseconds = (ms: number): bigint => BigInt(Math.trunc(ms)) * 1_000_000n;
