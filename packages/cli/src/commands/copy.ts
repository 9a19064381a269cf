import { spawn } from "node:child_process";
import { once } from "node:events";
import { createReadStream, createWriteStream } from "node:fs";
import { mkdir, stat } from "node:fs/promises";
import { basename, join, posix } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { SandboxHandle } from "@banyan/sdk";
import { Command } from "commander";
import { openSession } from "../session.ts";
import { type Place, parsePlace } from "../values.ts";

export function copyCommand(): Command {
  return new Command("cp")
    .description("copy files and directories into a sandbox or out of it")
    .argument("<from>")
    .argument("<to>")
    .addHelpText(
      "after",
      "\nA place in a sandbox is written sbx_…:/path. A directory is copied with all below it.\n\nExamples:\n  banyan sandbox cp ./src sbx_…:/workspace/src\n  banyan sandbox cp sbx_…:/workspace/result.csv .",
    )
    .action(async (from: string, to: string, _options: object, command: Command) => {
      const [source, target] = [parsePlace(from), parsePlace(to)];
      const { banyan, show } = await openSession(command);
      if (source.kind === "local" && target.kind === "sandbox") await upload(banyan.sandboxes.at(target.id), source.path, target.path);
      else if (source.kind === "sandbox" && target.kind === "local")
        await download(banyan.sandboxes.at(source.id), source.path, target.path);
      else command.error(`error: one side must be in a sandbox (sbx_…:/path), the other here: ${describe(source)} -> ${describe(target)}`);
      show({ from, to }, () => `${from} -> ${to}`);
    });
}

const describe = (place: Place): string => (place.kind === "local" ? place.path : `${place.id}:${place.path}`);

async function upload(sandbox: SandboxHandle, from: string, to: string): Promise<void> {
  const info = await stat(from);
  if (!info.isDirectory()) {
    const path = await intoDirectory(sandbox, to, basename(from));
    const mode = (info.mode & 0o7777).toString(8).padStart(4, "0");
    await sandbox.files.write(path, Readable.toWeb(createReadStream(from)) as ReadableStream<Uint8Array>, { mode });
    return;
  }
  const tar = spawn("tar", ["-C", from, "-c", "."], { stdio: ["ignore", "pipe", "inherit"] });
  await sandbox.files.upload(to, Readable.toWeb(tar.stdout) as ReadableStream<Uint8Array>);
  await ended(tar);
}

/** Like cp: a file copied to a directory lands in it. */
async function intoDirectory(sandbox: SandboxHandle, path: string, name: string): Promise<string> {
  if (path.endsWith("/")) return posix.join(path, name);
  const there = await sandbox.files.stat(path).catch(() => null);
  return there?.type === "directory" ? posix.join(path, name) : path;
}

async function download(sandbox: SandboxHandle, from: string, to: string): Promise<void> {
  const info = await sandbox.files.stat(from);
  if (info.type !== "directory") {
    const there = await stat(to).catch(() => null);
    const path = there?.isDirectory() ? join(to, posix.basename(from)) : to;
    await pipeline(
      Readable.fromWeb(await sandbox.files.readStream(from)),
      createWriteStream(path, { mode: Number.parseInt(info.mode, 8) & 0o777 }),
    );
    return;
  }
  await mkdir(to, { recursive: true });
  // What comes out of a sandbox is not trusted: tar itself keeps names below the directory.
  const tar = spawn("tar", ["-C", to, "-x", "--no-same-owner", "--no-same-permissions"], { stdio: ["pipe", "inherit", "inherit"] });
  await pipeline(Readable.fromWeb(await sandbox.files.download(from)), tar.stdin);
  await ended(tar);
}

async function ended(child: ReturnType<typeof spawn>): Promise<void> {
  const code = child.exitCode ?? (await once(child, "exit"))[0];
  if (code !== 0) throw new Error(`tar ended with ${code}`);
}
