import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import type { StartOrder } from "@banyan/contracts";
import { changesOf } from "@banyan/runtime";
import { afterAll, beforeAll, expect, it } from "vitest";
import { patchBytes } from "../../../services/runner-agent/src/http/diff-patch.ts";
import { changesTar } from "../../../services/runner-agent/src/http/diff-tar.ts";
import { treesOf } from "../../../services/runner-agent/src/http/diff-trees.ts";
import { storedFiles } from "../../../services/runner-agent/src/http/stored-files.ts";
import { start, type TestNode, testNode } from "../node/test-node.ts";

const MARKER = "a file of the host that no sandbox may see";
const ROUNDS = 30;

let node: TestNode;
let scratch: string;
beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), "bnydiff-"));
  node = await testNode();
}, 120_000);
afterAll(async () => {
  await node?.end();
  rmSync(scratch, { recursive: true, force: true });
});

const diffOf = async (order: StartOrder) => ({
  trees: await treesOf(storedFiles(node.parts).find({ ...order, epoch: order.epoch }), null),
  within: {},
});

/** A sandbox in which this goes on, again and again, while `work` is done. */
async function meanwhile(script: string, work: (order: StartOrder) => Promise<void>): Promise<void> {
  const order = node.order();
  await start(node, order);
  const going = node.sh(order, `mkdir /w; cd /w; while [ ! -e /stop ]; do ${script}; done`);
  try {
    await work(order);
  } finally {
    await node.sh(order, "touch /stop");
    await going;
  }
}

it("never leaves the sandbox, whatever a directory becomes while it is read", async () => {
  const host = join(scratch, "host/deep");
  mkdirSync(host, { recursive: true });
  writeFileSync(join(host, "f"), MARKER);
  const swap = `mkdir -p d/deep; echo inside > d/deep/f; mv d e; ln -s ${scratch}/host d; rm -r e; rm d; mkdir d; ln -s ${host} d/deep; rm -r d`;
  await meanwhile(swap, async (order) => {
    for (let round = 0; round < ROUNDS; round++) {
      const patch = await buffer(Readable.from(patchBytes(await diffOf(order), Number.MAX_SAFE_INTEGER)));
      const tar = await buffer(Readable.from(changesTar(await diffOf(order))));
      expect(patch.includes(MARKER) || tar.includes(MARKER)).toBe(false);
    }
  });
}, 120_000);

it("gives a whole tar of files that shrink and grow under it", async () => {
  await meanwhile("head -c 3000000 /dev/zero > f; : > f; head -c 100 /dev/zero > f; rm f", async (order) => {
    for (let round = 0; round < ROUNDS; round++) {
      const tar = await buffer(Readable.from(changesTar(await diffOf(order))));
      execFileSync("tar", ["-tf", "-"], { input: tar });
      expect(tar.length % 512).toBe(0);
    }
  });
}, 120_000);

it("takes a file with a hole for what it reads as, and each hard link for a file", async () => {
  const order = node.order();
  await start(node, order);
  await node.sh(order, "mkdir /w; cd /w; truncate -s 5000000 hole; echo end >> hole; echo x > one; ln one two");
  const of = await diffOf(order);
  const tar = await buffer(Readable.from(changesTar(of)));
  execFileSync("tar", ["-C", scratch, "-xf", "-"], { input: tar });
  const shown = execFileSync("sh", ["-c", "stat -c %s w/hole; tail -c 4 w/hole; cat w/one w/two"], { cwd: scratch, encoding: "utf8" });
  expect(shown).toBe("5000004\nend\nx\nx\n");
  const paths: string[] = [];
  for await (const part of changesOf(of.trees)) if ("change" in part) paths.push(part.change.path.toString());
  expect(paths).toEqual(["w", "w/hole", "w/one", "w/two"]);
});
