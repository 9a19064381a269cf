import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { AttachClient, buildNative, type DiskRoot, openDisk } from "@banyan/runtime";
import { eventually } from "@banyan/testkit";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { makeBlanks } from "../../../packages/runtime/src/disk/blanks.ts";
import { mountImage, unmountImage } from "../../../packages/runtime/src/disk/image-mount.ts";

const RANGE_SIZE = 2 ** 36;
const LIMIT_MB = 64;

let attach: AttachClient;
beforeAll(async () => {
  attach = await AttachClient.start({ binaryPath: (await buildNative()).attach });
});
afterAll(() => attach.close());

let dataDir: string;
let warnings: string[];
let disk: DiskRoot | null;
beforeEach(() => {
  dataDir = mkdtempSync("/var/tmp/bny-");
  warnings = [];
  disk = null;
});
afterEach(async () => {
  await disk?.close();
  rmSync(dataDir, { recursive: true, force: true });
});

async function open(): Promise<DiskRoot> {
  const warn = (message: string, reason: string) => warnings.push(`${message}: ${reason}`);
  disk = await openDisk({ dataDir, mode: "btrfs", sizeMb: 2_048, attach, warn });
  return disk;
}

async function close(): Promise<void> {
  await disk?.close();
  disk = null;
}

const rangeOf = (path: string) => Math.floor(statSync(path).ino / RANGE_SIZE);
const inside = (path: string) => join(dataDir, "disk", path);

/** As a data directory was before there were blanks. */
async function formatted(): Promise<DiskRoot> {
  const made = await open();
  for (const name of readdirSync(inside("blanks"))) await attach.diskDelete(inside(`blanks/${name}`));
  rmSync(inside("blanks"), { recursive: true });
  return made;
}

describe("the blanks of a disk", () => {
  it("are made with the image, so that its disks and those below them count apart", async () => {
    const { driver } = await open();
    expect(warnings).toEqual([]);
    const { upper } = await driver.create("parent", LIMIT_MB, [inside("sandboxes")]);
    writeFileSync(join(upper, "file"), "");
    expect(rangeOf(upper)).toBeGreaterThan(0);
    expect(rangeOf(join(upper, "file"))).toBe(rangeOf(upper));
    const below = [upper];
    for (let at = 0; at < 100; at++) below.push((await driver.create(`child-${at}`, LIMIT_MB, below)).upper);
    expect(new Set([0, ...below.map(rangeOf)]).size).toBe(102);
  });

  it("leave a filesystem of which the kernel finds every block whole", async () => {
    await open();
    const said = execFileSync("btrfs", ["scrub", "start", "-B", "-d", join(dataDir, "disk")], { encoding: "utf8", stdio: "pipe" });
    expect(said).toMatch(/Error summary: +no errors found/);
  });

  it("leave a filesystem that its own tool finds in order", async () => {
    // Without simple quotas, which the tool does not know on every host.
    const mount = { image: join(dataDir, "disk.img"), directory: join(dataDir, "disk"), sizeMb: 1_024 };
    await mountImage(mount);
    try {
      await makeBlanks(mount, attach);
      await attach.diskCreate({ path: inside("one"), blank: inside("blanks/blank-7") });
      writeFileSync(inside("one/upper/file"), "content");
    } finally {
      await unmountImage(mount);
    }
    // Refused for as long as a container that starts meanwhile has a copy of the mounts.
    const check = async () => execFileSync("btrfs", ["check", "--readonly", mount.image], { encoding: "utf8", stdio: "pipe" });
    expect(await eventually(check)).toMatch(/no error found/);
  });

  it("let a disk count on where it was after the filesystem was mounted anew", async () => {
    const { driver } = await open();
    const { upper } = await driver.create("one", LIMIT_MB, []);
    for (let at = 0; at < 20; at++) writeFileSync(join(upper, `early-${at}`), "");
    const highest = Math.max(...readdirSync(upper).map((name) => statSync(join(upper, name)).ino));
    await close();
    const again = (await open()).driver;
    writeFileSync(join(upper, "late"), "");
    expect(statSync(join(upper, "late")).ino).toBe(highest + 1);
    const child = await again.create("two", LIMIT_MB, [upper]);
    expect(rangeOf(child.upper)).not.toBe(rangeOf(upper));
    expect(warnings).toEqual([]);
  });

  it("are made at the next mount of an image that has none, which keeps all that is in it", async () => {
    const { driver } = await formatted();
    const old = await attach
      .diskCreate({ path: inside("sandboxes/old"), limitBytes: LIMIT_MB * 1024 * 1024 })
      .then(() => driver.paths("old"));
    writeFileSync(join(old.upper, "file"), "kept");
    await close();
    const upgraded = (await open()).driver;
    expect(warnings).toEqual([]);
    expect(readFileSync(join(old.upper, "file"), "utf8")).toBe("kept");
    expect(rangeOf(old.upper)).toBe(0);
    expect(rangeOf((await upgraded.create("new", LIMIT_MB, [old.upper])).upper)).toBeGreaterThan(0);
    await expect(upgraded.usageBytes("old")).resolves.toEqual(expect.any(Number));
  });

  it("are completed where a killed process has left only some", async () => {
    await open();
    renameSync(inside("blanks"), inside("blanks.new"));
    const [first = "", second = "", third = "", fourth = ""] = readdirSync(inside("blanks.new"));
    for (const name of [first, second, third, fourth]) await attach.diskDelete(inside(`blanks.new/${name}`));
    for (const name of [first, second]) await attach.diskCreate({ path: inside(`blanks.new/${name}`) });
    rmSync(inside(`blanks.new/${first}/work`), { recursive: true });
    await close();
    const { driver } = await open();
    expect(warnings).toEqual([]);
    expect(existsSync(inside("blanks.new"))).toBe(false);
    const found = readdirSync(inside("blanks")).map((name) => rangeOf(inside(`blanks/${name}/upper`)));
    expect(found.sort((one, other) => one - other)).toEqual(Array.from({ length: 128 }, (_, at) => at + 1));
    expect(rangeOf((await driver.create("one", LIMIT_MB, [])).upper)).toBeGreaterThan(0);
  });

  it("are not made while the filesystem is in use elsewhere: disks then count as they did, and the operator is told", async () => {
    await formatted();
    await close();
    mkdirSync(join(dataDir, "elsewhere"));
    const holder = spawn("unshare", ["-m", "sh", "-c", `mount -o loop ${dataDir}/disk.img ${dataDir}/elsewhere && echo held && exec cat`], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    const ended = new Promise((resolve) => holder.once("close", resolve));
    try {
      await new Promise((resolve) => holder.stdout.once("data", resolve));
      const { driver } = await open();
      expect(warnings).toEqual([expect.stringMatching(/inode number.*EBUSY/)]);
      const { upper } = await driver.create("one", LIMIT_MB, []);
      expect(rangeOf(upper)).toBe(0);
      await close();
    } finally {
      holder.stdin.end();
      await ended;
    }
    warnings = [];
    const { driver } = await eventually(open);
    expect(warnings).toEqual([]);
    expect(rangeOf((await driver.create("two", LIMIT_MB, [])).upper)).toBeGreaterThan(0);
  });

  it("are not made, nor is anything else changed, where the filesystem is mounted already", async () => {
    await formatted();
    const { driver } = await open();
    expect(warnings).toEqual([expect.stringMatching(/inode number/)]);
    expect(rangeOf((await driver.create("one", LIMIT_MB, [])).upper)).toBe(0);
  });
});
