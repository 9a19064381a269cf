import { AttachClient, buildNative, changesOf, countChanges, seededFiles } from "@banyan/runtime";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { standing, type TestTrees, testTrees, told } from "./diff-trees.ts";

let attach: AttachClient;
let trees: TestTrees;
beforeAll(async () => {
  attach = await AttachClient.start({ binaryPath: (await buildNative()).attach });
});
afterAll(() => attach.close());
beforeEach(() => {
  trees = testTrees();
});
afterEach(() => trees.end());

const count = (...given: Parameters<typeof standing>) => countChanges((argv, options) => attach.run(argv, options), standing(...given));

describe("an upper", () => {
  it("that nobody wrote to has no changes", async () => {
    trees.inBase("mkdir a; echo 1 > a/f");
    const upper = trees.change("one", [trees.base], "cat a/f");
    expect(await told(standing(upper, trees.base))).toEqual({
      lines: [],
      end: { totals: { added: 0, changed: 0, deleted: 0, bytes: 0 }, isWhole: true, skipped: 0, after: null },
    });
  });

  it("tells added, changed and deleted paths in order, and no parents of changes", async () => {
    trees.inBase("mkdir -p a/b/c gone/deep; echo 1 > a/b/c/f; echo 2 > a/g; echo 3 > gone/deep/x; echo 4 > top");
    const upper = trees.change(
      "one",
      [trees.base],
      "echo 11 > a/b/c/f; rm a/g; rm -r gone; mkdir -p new/er; echo hello > new/er/n; echo x > a-b",
    );
    const { lines, end } = await told(standing(upper, trees.base));
    expect(lines).toEqual(["M a/b/c/f (content)", "D a/g", "A a-b", "D gone", "A new", "A new/er", "A new/er/n"]);
    expect(end.totals).toEqual({ added: 4, changed: 1, deleted: 2, bytes: 3 + 6 + 2 });
    expect(await count(upper, trees.base)).toEqual(end.totals);
  });

  it("tells what of an entry was changed", async () => {
    trees.inBase(
      "for f in mode owner time xattr both same; do echo $f > $f; done; mkdir dir quiet; ln -s one link; echo f > kind; touch -d @1 *",
    );
    const upper = trees.change(
      "one",
      [trees.base],
      `chmod 700 mode dir; chown 5:6 owner; touch time; python3 -c "import os; os.setxattr('xattr', 'trusted.k', b'1')"
       echo BOTH > both; chmod 1 both; ln -sfn two link; rm kind; mkdir kind; touch quiet/x; rm quiet/x; python3 -c "open('same', 'r+').close()"`,
    );
    expect((await told(standing(upper, trees.base))).lines).toEqual([
      "M both (content, mode)",
      "M dir (mode)",
      "M kind (type)",
      "M link (target)",
      "M mode (mode)",
      "M owner (owner)",
      "M time (mtime)",
      "M xattr (xattr)",
    ]);
  });

  it("finds other content behind the same size and time", async () => {
    trees.inBase("echo aaa > f; touch -d @1000 f");
    const upper = trees.change("one", [trees.base], "echo bbb > f; touch -d @1000 f");
    expect((await told(standing(upper, trees.base))).lines).toEqual(["M f (content)"]);
  });

  it("compares a directory that was made anew with the one it hides", async () => {
    trees.inBase("mkdir -p d/sub; echo 1 > d/kept; echo 2 > d/lost; echo 3 > d/sub/x; echo 4 > d/other");
    const upper = trees.change("one", [trees.base], "rm -r d; mkdir d; echo 1 > d/kept; echo 9 > d/other; echo 5 > d/new");
    const { lines } = await told(standing(upper, trees.base));
    expect(lines.filter((line) => !line.endsWith("(mtime)"))).toEqual(["D d/lost", "A d/new", "M d/other (content)", "D d/sub"]);
  });

  it("looks through whiteouts and opaque directories of the layers below it", async () => {
    trees.inBase("mkdir d; echo 1 > d/hidden; echo 2 > removed; mkdir gone; echo x > gone/in");
    const layer = trees.change("layer", [trees.base], "rm -r d; mkdir d; echo 0 > d/own; rm removed; rm -r gone");
    const upper = trees.change(
      "one",
      [layer, trees.base],
      "echo new > d/hidden; echo new > removed; mkdir gone; echo n > gone/in; echo 00 > d/own",
    );
    expect((await told(standing(upper, layer, trees.base))).lines).toEqual([
      "A d/hidden",
      "M d/own (content)",
      "A gone",
      "A gone/in",
      "A removed",
    ]);
  });

  it("names what was in a deleted directory where that is asked for", async () => {
    trees.inBase("mkdir -p d/e; echo 1 > d/e/f; echo 2 > d/g");
    const upper = trees.change("one", [trees.base], "rm -r d");
    expect((await told(standing(upper, trees.base), { expandDeleted: true })).lines).toEqual(["D d", "D d/e", "D d/e/f", "D d/g"]);
  });

  it("holds names of any bytes", async () => {
    const upper = trees.change("one", [trees.base], "touch $'a\\xff\\xfe' $'new\\nline' \"$(printf 'x%.0s' {1..255})\" ' '");
    expect((await told(standing(upper, trees.base))).lines).toEqual(["A  ", "A a\xff\xfe", "A new\nline", `A ${"x".repeat(255)}`]);
  });

  it("is told below one path alone", async () => {
    trees.inBase("mkdir -p a/b gone/x; echo 1 > a/b/f; echo 1 > gone/x/y");
    const upper = trees.change("one", [trees.base], "echo 2 > a/b/f; echo 3 > a/other; touch ab; rm -r gone");
    const below = async (path: string) => (await told(standing(upper, trees.base), { below: Buffer.from(path) })).lines;
    expect(await below("a")).toEqual(["M a/b/f (content)", "A a/other"]);
    expect(await below("a/b/f")).toEqual(["M a/b/f (content)"]);
    expect(await below("gone/x/y")).toEqual(["D gone/x/y"]);
    expect(await below("nowhere/at/all")).toEqual([]);
  });
});

describe("a page", () => {
  it("follows the one before it, wherever that ended", async () => {
    trees.inBase("mkdir -p d/e; echo 1 > d/e/f; echo 2 > z");
    const upper = trees.change("one", [trees.base], "rm d/e/f; mkdir -p n/m; touch n/m/{1..9} n/a n/z d/e/{x,y}; rm z; chmod 1 d");
    const whole = (await told(standing(upper, trees.base))).lines;
    expect(whole.length).toBe(18);
    for (const query of [{ entriesMax: 1 }, { entriesMax: 4 }, { visitsMax: 1 }, { visitsMax: 3, entriesMax: 2 }]) {
      const lines: string[] = [];
      let after: Buffer | null | undefined;
      for (let pages = 0; after !== null; pages++) {
        expect(pages).toBeLessThan(40);
        const page = await told(standing(upper, trees.base), { ...query, ...(after && { after }) });
        lines.push(...page.lines);
        after = page.end.after;
      }
      expect(lines).toEqual(whole);
    }
  });

  it("of a directory with very many names takes bounded memory, and counts them all", async () => {
    const upper = trees.change("one", [trees.base], "mkdir m; python3 -c \"[open(f'm/{i:06}', 'w').close() for i in range(40000)]\"");
    const first = await told(standing(upper, trees.base), { entriesMax: 3, summary: true });
    expect(first.lines).toEqual(["A m", "A m/000000", "A m/000001"]);
    expect(first.end).toMatchObject({ totals: { added: 40_001 }, isWhole: true, after: Buffer.from("m/000001") });
    const late = await told(standing(upper, trees.base), { after: Buffer.from("m/039997"), entriesMax: 10 });
    expect(late.lines).toEqual(["A m/039998", "A m/039999"]);
    expect((await told(standing(upper, trees.base))).lines).toHaveLength(40_001);
  }, 60_000);

  it("that counts stops at its bound and says so", async () => {
    const upper = trees.change("one", [trees.base], "touch {1..50}");
    const { end } = await told(standing(upper, trees.base), { entriesMax: 1, summary: true, visitsMax: 10 });
    expect(end).toMatchObject({ isWhole: false, totals: { added: 10 } });
  });
});

describe("two sandboxes of one tree", () => {
  it("are compared over the layers they share", async () => {
    trees.inBase("mkdir d; echo 1 > d/f; echo 2 > d/g; echo 3 > h");
    const frozen = trees.change("parent", [trees.base], "echo frozen > both; echo mine > d/f; rm h");
    const one = trees.change("one", [frozen, trees.base], "echo one > d/f; echo 1 > only-one; rm d/g");
    const other = trees.change("other", [frozen, trees.base], "echo 2 > only-other; rm -r d; echo back > h");
    const sides = { now: [one], before: [other], base: [frozen, trees.base], leftOut: [] };
    expect((await told(sides)).lines).toEqual(["A d", "A d/f", "D h", "A only-one", "D only-other"]);
    // The same over the base alone: the frozen layer is part of both sides.
    expect((await told({ now: [one, frozen], before: [other, frozen], base: [trees.base], leftOut: [] })).lines).toEqual(
      (await told(sides)).lines,
    );
    expect((await told({ ...sides, now: [one], before: [one] })).lines).toEqual([]);
  });
});

describe("what cannot be read", () => {
  it("is said, and counts as unknown", async () => {
    await expect(told(standing(`${trees.directory}/nowhere`, trees.base))).rejects.toMatchObject({
      code: "diff.failed",
      details: { reason: expect.stringContaining("No such file") },
    });
    expect(await count(`${trees.directory}/nowhere`, trees.base)).toBeNull();
  });

  it("ends with whoever asked", async () => {
    const upper = trees.change("one", [trees.base], "touch {1..2000}");
    const gone = new AbortController();
    const walk = async () => {
      for await (const _part of changesOf(standing(upper, trees.base), { signal: gone.signal })) gone.abort(new Error("left"));
    };
    await expect(walk()).rejects.toThrow("left");
  });
});

describe("a hostile upper", () => {
  it("leads nowhere: neither symlinks, FIFOs nor sockets are followed or opened", async () => {
    trees.inBase("mkdir -p etc d; echo mine > etc/passwd; ln -s etc e");
    const upper = trees.change(
      "one",
      [trees.base],
      "rm -r d; ln -s /etc d; ln -s loop loop; mkfifo fifo; python3 -c \"import socket; socket.socket(socket.AF_UNIX).bind('sock')\"; ln -s / root",
    );
    const { lines, end } = await told(standing(upper, trees.base), { bytesMax: 1_000, bytesBeforeMax: 1_000 });
    expect(lines).toEqual(["M d (type)", "A fifo", "A loop", "A root", "A sock"]);
    expect(end.totals.bytes).toBe(0);
    expect((await told(standing(upper, trees.base), { below: Buffer.from("root/etc") })).lines).toEqual([]);
  });

  it("may be deeper than anybody looks", async () => {
    const upper = trees.change("one", [trees.base], "python3 -c \"import os\nfor i in range(400): os.mkdir('d'); os.chdir('d')\"");
    const { lines, end } = await told(standing(upper, trees.base));
    expect(lines).toHaveLength(256);
    expect(end.skipped).toBe(1);
  });
});

describe("what a start put there", () => {
  const seeds =
    "mkdir -p etc; printf 'box\\n' > etc/hostname; printf '127.0.0.1\\tlocalhost\\n127.0.1.1\\tbox\\n' > etc/hosts; printf 'nameserver 10.0.0.1\\n' > etc/resolv.conf";

  it("is known while it is as it was", async () => {
    const upper = trees.change("one", [trees.base], seeds);
    expect(await seededFiles(upper)).toEqual(["etc/hostname", "etc/hosts", "etc/resolv.conf"]);
  });

  it("is a change like any other when somebody has written to it", async () => {
    const upper = trees.change(
      "one",
      [trees.base],
      `${seeds}; echo 1.2.3.4 x >> etc/hosts; echo nameserver 1.1.1.1 > etc/new; mv etc/new etc/resolv.conf`,
    );
    trees.change("two", [trees.base], "mkdir etc; ln -s /etc/hostname etc/hostname; mkfifo etc/hosts");
    expect(await seededFiles(upper)).toContain("etc/hostname");
    expect(await seededFiles(upper)).not.toContain("etc/hosts");
    expect(await seededFiles(`${trees.directory}/two/upper`)).toEqual([]);
  });
});
