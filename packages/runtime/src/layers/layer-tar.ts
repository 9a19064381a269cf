import { spawn } from "node:child_process";
import { Readable } from "node:stream";
import { fault } from "@banyan/contracts";
import { type Member, rewriteTar, type Verdict } from "./tar-rewrite.ts";
import { OPAQUE_MARK, WHITEOUT_PREFIX } from "./whiteouts.ts";

const XATTR = "SCHILY.xattr.";
const OVERLAY_XATTR = `${XATTR}trusted.overlay.`;
/** Attributes by which a layer leans on another one's content: no tar can say that. Our mounts make none. */
const LEANING = ["redirect", "metacopy"];
const SKIPPED_MAX = 100;
const PATH_BYTES_MAX = 4_095;
const STDERR_BYTES_MAX = 256 * 1024;

export interface PackedLayer {
  tar: Readable;
  /** What no layer can hold, complete when the tar has ended: sockets, names that would read as whiteouts, paths beyond 4,095 bytes. At most 100. */
  skipped: string[];
}

/**
 * The tar of a directory in overlayfs form, as an OCI layer: whiteouts by name, attributes of overlayfs left out. The same directory gives the
 * same bytes: sorted, owners as numbers. GNU tar reads it, for Node can read neither extended attributes nor holes.
 */
export function packLayer(directory: string, options: { signal?: AbortSignal } = {}): PackedLayer {
  const skipped: string[] = [];
  return { tar: Readable.from(pack(directory, skipped, options.signal), { objectMode: false }), skipped };
}

async function* pack(directory: string, skipped: string[], signal: AbortSignal | undefined): AsyncGenerator<Buffer> {
  signal?.throwIfAborted();
  const tar = spawn(
    "tar",
    [
      ...["--create", "--format=posix", "--pax-option=delete=atime,delete=ctime", "--sort=name", "--numeric-owner", "--sparse"],
      ...["--xattrs", "--xattrs-include=*", "--quoting-style=escape", "--directory", directory, "."],
    ],
    { stdio: ["ignore", "pipe", "pipe"], env: { PATH: process.env.PATH, LC_ALL: "C" } },
  );
  let said = "";
  tar.stderr.setEncoding("utf8").on("data", (chunk: string) => {
    if (said.length < STDERR_BYTES_MAX) said += chunk;
  });
  const ended = new Promise<number | null>((resolve, reject) => tar.on("error", reject).on("close", resolve));
  ended.catch(() => {});
  const abort = (): void => void tar.kill("SIGKILL");
  signal?.addEventListener("abort", abort);
  try {
    yield* rewriteTar(tar.stdout, new LayerForm(skipped).judge);
    const exitCode = await ended;
    if (exitCode !== 0) throw fault("internal", { exitCode, stderr: said.slice(0, 2_000) }, { message: "a directory cannot be packed" });
    for (const [, path] of said.matchAll(/^tar: (?:\.\/)?(.*): socket ignored$/gm)) {
      if (path !== undefined && skipped.length < SKIPPED_MAX) skipped.push(path);
    }
  } catch (cause) {
    // A tar that was killed ends in the middle of an entry: the reason is what the caller wants to know.
    signal?.throwIfAborted();
    throw cause;
  } finally {
    signal?.removeEventListener("abort", abort);
    tar.kill("SIGKILL");
    tar.stdout.destroy();
  }
}

/** Decides, entry by entry, what of an overlay directory goes into a layer's tar, and under which name. */
class LayerForm {
  readonly #skipped: string[];
  /** Whiteouts and what is left out, by path: the kernel makes whiteouts as hard links of one another, and tar says so. */
  readonly #whiteouts = new Set<string>();
  readonly #leftOut = new Set<string>();

  constructor(skipped: string[]) {
    this.#skipped = skipped;
  }

  judge = (member: Member): Verdict => {
    const path = member.path.toString("latin1");
    const target = member.type === "1" ? member.linkPath.toString("latin1") : null;
    if (isMark(path) || isTooLong(path) || (target !== null && this.#leftOut.has(target))) {
      this.#leaveOut(path, member.path);
      return { kind: "drop" };
    }
    const isWhiteout = member.type === "3" && member.deviceMajor === 0 && member.deviceMinor === 0;
    if (isWhiteout || (target !== null && this.#whiteouts.has(target))) {
      this.#whiteouts.add(path);
      const slash = path.lastIndexOf("/") + 1;
      return { kind: "replace", path: Buffer.from(`${path.slice(0, slash)}${WHITEOUT_PREFIX}${path.slice(slash)}`, "latin1") };
    }
    const isOpaque = takeOverlayAttributes(member);
    if (!isOpaque || member.type !== "5") return { kind: "keep" };
    return { kind: "keep", followedBy: Buffer.from(`${path.replace(/\/*$/, "/")}${OPAQUE_MARK}`, "latin1") };
  };

  /** Of a directory that is too deep, and all below it, its own name is enough. */
  #leaveOut(path: string, name: Buffer): void {
    const plain = path.replace(/\/$/, "");
    this.#leftOut.add(plain);
    const isBelow = isTooLong(path) && this.#leftOut.has(plain.slice(0, plain.lastIndexOf("/")));
    if (!isBelow && this.#skipped.length < SKIPPED_MAX) this.#skipped.push(name.toString().replace(/^\.\/|\/$/g, ""));
  }
}

/** The kernel takes no longer one, and who unpacks has to name each entry whole. */
function isTooLong(path: string): boolean {
  return path.replace(/\/$/, "").length > PATH_BYTES_MAX;
}

/** A file of the sandbox's own whose name would hide another one: also what lies below such a directory. */
function isMark(path: string): boolean {
  return path.startsWith(WHITEOUT_PREFIX) || path.includes(`/${WHITEOUT_PREFIX}`);
}

/** Removes what overlayfs noted for itself; true when the directory hides all below it. */
function takeOverlayAttributes({ pax, path }: Member): boolean {
  const isOpaque = pax.get(`${OVERLAY_XATTR}opaque`)?.toString() === "y";
  for (const key of [...pax.keys()]) {
    if (!key.startsWith(OVERLAY_XATTR)) continue;
    const attribute = key.slice(OVERLAY_XATTR.length);
    if (LEANING.includes(attribute))
      throw fault(
        "internal",
        { path: path.toString(), attribute },
        { message: "a directory leans on layers below it and cannot be packed" },
      );
    pax.delete(key);
  }
  return isOpaque;
}
