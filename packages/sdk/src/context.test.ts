import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { chmod, mkdir, mkdtemp, rm, symlink, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { packContext } from "./context.ts";

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "banyan-context-"));
  await mkdir(join(directory, "src"));
  await writeFile(join(directory, "src", "main.js"), "console.log(1)\n");
  await writeFile(join(directory, "run.sh"), "#!/bin/sh\n");
  await chmod(join(directory, "run.sh"), 0o755);
  await symlink("src/main.js", join(directory, "link"));
});
afterEach(() => rm(directory, { recursive: true }));

async function bytesOf(context: { read(): AsyncIterable<Uint8Array> }): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of context.read()) chunks.push(chunk);
  return Buffer.concat(chunks);
}
const listing = (tar: Buffer): string[] => execFileSync("tar", ["-tf", "-"], { input: tar, encoding: "utf8" }).trim().split("\n");

it("makes a tar that tar understands, and names it by the digest of its bytes", async () => {
  const context = await packContext(directory, []);
  const tar = await bytesOf(context);
  expect(context).toMatchObject({ root: ".", sizeBytes: tar.length, digest: `sha256:${createHash("sha256").update(tar).digest("hex")}` });
  expect(listing(tar)).toEqual(["link", "run.sh", "src/", "src/main.js"]);
  const out = await mkdtemp(join(tmpdir(), "banyan-unpacked-"));
  execFileSync("tar", ["-C", out, "-xf", "-"], { input: tar });
  expect(
    execFileSync("sh", ["-c", "cat link; test -x run.sh && ! test -x src/main.js && echo modes"], { cwd: out, encoding: "utf8" }),
  ).toBe("console.log(1)\nmodes\n");
  await rm(out, { recursive: true });
});

it("keeps its digest while nothing changes but times and permissions of no weight", async () => {
  const before = await packContext(directory, []);
  await utimes(join(directory, "run.sh"), 1, 1);
  await chmod(join(directory, "src", "main.js"), 0o600);
  expect((await packContext(directory, [])).digest).toBe(before.digest);
  await writeFile(join(directory, "src", "main.js"), "console.log(2)\n");
  expect((await packContext(directory, [])).digest).not.toBe(before.digest);
});

it("holds names longer than a header and other than ASCII", async () => {
  const name = `${"ü".repeat(60)}${"n".repeat(90)}.txt`;
  await writeFile(join(directory, name), "long");
  await symlink(name, join(directory, "to-long"));
  const tar = await bytesOf(await packContext(directory, []));
  const listed = execFileSync("tar", ["--quoting-style=literal", "-tvf", "-"], { input: tar, encoding: "utf8" });
  expect(listed).toContain(name);
  expect(listed).toContain(`to-long -> ${name}`);
});

it("leaves out what .dockerignore and the caller name, and takes back what they take back", async () => {
  await writeFile(join(directory, ".dockerignore"), "src\n!src/main.js\n");
  await writeFile(join(directory, "src", "other.js"), "");
  expect(listing(await bytesOf(await packContext(directory, ["link", ".dockerignore"])))).toEqual(["run.sh", "src/main.js"]);
});

it("packs one file alone", async () => {
  const context = await packContext(join(directory, "run.sh"), []);
  expect(context.root).toBe("run.sh");
  expect(listing(await bytesOf(context))).toEqual(["run.sh"]);
});

it("says that a file changed rather than send another than it named", async () => {
  const context = await packContext(directory, []);
  await writeFile(join(directory, "run.sh"), "#!/bin/sh\necho more\n");
  await expect(bytesOf(context)).rejects.toThrow(/run\.sh changed/);
});
