import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { Banyan, Files } from "@banyan/sdk";
import { Command } from "commander";
import { openSession } from "../session.ts";
import { filesTable } from "../volume-text.ts";
import { type InVolume, inVolume, parseInVolume } from "../volume-values.ts";

export function volumeFilesCommand(): Command {
  return new Command("files")
    .description("look at what is in a volume and change it, without a sandbox")
    .addHelpText("after", "\nA place in a volume is written <volume>:/path, in one of its versions <volume>@<version>:/path.")
    .addCommand(listCommand())
    .addCommand(catCommand())
    .addCommand(makeCommand())
    .addCommand(moveCommand())
    .addCommand(removeCommand());
}

function filesOf({ volumes }: Banyan, { volume, version }: InVolume): Files {
  const handle = volumes.at(volume);
  return version === null ? handle.files : handle.filesAt(version);
}

function listCommand(): Command {
  return new Command("ls")
    .alias("list")
    .description("list a directory, or show a file")
    .argument("<place>", "<volume>:/path", inVolume)
    .addHelpText("after", "\nExample:\n  banyan volume files ls data:/")
    .action(async (place: InVolume, _options: object, command: Command) => {
      const { banyan, show } = await openSession(command);
      const files = filesOf(banyan, place);
      const info = await files.stat(place.path);
      const entries = info.type === "directory" ? await files.list(place.path) : [info];
      show(entries, () => filesTable(entries));
    });
}

function catCommand(): Command {
  return new Command("cat")
    .description("write a file to standard output")
    .argument("<place>", "<volume>:/path", inVolume)
    .addHelpText("after", "\nExample:\n  banyan volume files cat data@v1:/notes.txt")
    .action(async (place: InVolume, _options: object, command: Command) => {
      const { banyan } = await openSession(command);
      await pipeline(Readable.fromWeb(await filesOf(banyan, place).readStream(place.path)), process.stdout, { end: false });
    });
}

function makeCommand(): Command {
  return new Command("mkdir")
    .description("make a directory, with those above it")
    .argument("<place>", "<volume>:/path", inVolume)
    .addHelpText("after", "\nExample:\n  banyan volume files mkdir data:/a/b")
    .action(async (place: InVolume, _options: object, command: Command) => {
      const { banyan, show } = await openSession(command);
      const info = await filesOf(banyan, place).mkdir(place.path);
      show(info, () => info.path);
    });
}

function moveCommand(): Command {
  return new Command("mv")
    .description("move or rename within a volume")
    .argument("<place>", "<volume>:/path", inVolume)
    .argument("<path>", "where to: /path, or <volume>:/path of the same volume")
    .option("--overwrite", "also where something is there")
    .addHelpText("after", "\nExample:\n  banyan volume files mv data:/draft.txt /final.txt")
    .action(async (place: InVolume, to: string, options: { overwrite?: boolean }, command: Command) => {
      const { banyan, show } = await openSession(command);
      const target = parseInVolume(to);
      if (target !== null && target.volume !== place.volume)
        command.error("error: only within a volume; into another one `banyan volume cp` copies, by way of here");
      const info = await filesOf(banyan, place).move(place.path, target?.path ?? to, options);
      show(info, () => info.path);
    });
}

function removeCommand(): Command {
  return new Command("rm")
    .description("remove files")
    .argument("<place>", "<volume>:/path", inVolume)
    .option("-r, --recursive", "a directory with all below it")
    .addHelpText("after", "\nExample:\n  banyan volume files rm -r data:/old")
    .action(async (place: InVolume, options: { recursive?: boolean }, command: Command) => {
      const { banyan, show } = await openSession(command);
      const { removed } = await filesOf(banyan, place).remove(place.path, options);
      show({ removed }, () => `${removed} removed`);
    });
}
