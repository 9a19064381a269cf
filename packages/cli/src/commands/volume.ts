import type { CreateVolumeOptions, VolumeInfo } from "@banyan/sdk";
import { Command, Option } from "commander";
import { given, openSession } from "../session.ts";
import { collectLabelChange, collectPair, collectSecret, number } from "../values.ts";
import { usersText, volumesTable, volumeText } from "../volume-text.ts";
import { quotaMb } from "../volume-values.ts";
import { volumeCopyCommand } from "./volume-copy.ts";
import { volumeFilesCommand } from "./volume-files.ts";
import { forkCommand, restoreCommand, snapshotCommand, versionsCommand } from "./volume-versions.ts";

export function volumeCommand(): Command {
  return new Command("volume")
    .alias("vol")
    .description("files that any number of sandboxes mount")
    .addCommand(createCommand())
    .addCommand(listCommand())
    .addCommand(showCommand())
    .addCommand(volumeCopyCommand())
    .addCommand(volumeFilesCommand())
    .addCommand(renameCommand())
    .addCommand(labelCommand())
    .addCommand(quotaCommand())
    .addCommand(usersCommand())
    .addCommand(forkCommand())
    .addCommand(snapshotCommand())
    .addCommand(versionsCommand())
    .addCommand(restoreCommand())
    .addCommand(removeCommand());
}

interface CreateOptions {
  label?: Record<string, string>;
  quota?: number | null;
  backend?: "directory" | "object";
  remoteType?: NonNullable<CreateVolumeOptions["remote"]>["type"];
  remotePath?: string;
  remoteOption?: Record<string, string>;
  remoteSecret?: Record<string, string>;
}

const CREATE_EXAMPLES = `
Examples:
  banyan volume create data
  banyan volume create data --quota 100G -l team=a
  banyan volume create pictures --backend object --remote-type s3 --remote-path bucket/prefix \\
    --remote-option provider=Other --remote-option endpoint=https://s3.example \\
    --remote-secret access_key_id=… --remote-secret secret_access_key`;

function createCommand(): Command {
  return new Command("create")
    .description("make a volume")
    .argument("[name]", "a name to call it by")
    .option("-l, --label <key=value>", "a label; repeatable", collectPair)
    .option("--quota <size>", "what it may hold: 512M, 10G, 2T (default: as much as its store)", quotaMb)
    .addOption(new Option("--backend <kind>", "where it lies (default: directory)").choices(["directory", "object"]))
    .option("--remote-type <type>", "of an object volume: s3, azureblob, b2, swift, webdav or sftp")
    .option("--remote-path <path>", "its bucket or container, with a prefix where only a part is wanted")
    .option("--remote-option <name=value>", "how it is reached; repeatable", collectPair)
    .option(
      "--remote-secret <name[=value]>",
      "the same, never shown again; without a value, from the environment; repeatable",
      collectSecret,
    )
    .addHelpText("after", CREATE_EXAMPLES)
    .action(async (name: string | undefined, options: CreateOptions, command: Command) => {
      const { banyan, show } = await openSession(command);
      const { info } = await banyan.volumes.create({
        ...given({ name, labels: options.label, quotaMb: options.quota, backend: options.backend }),
        ...remoteOf(options),
      });
      show(info, () => (info.state === "ready" ? `${info.id}  ${info.name ?? ""}`.trimEnd() : volumeText(info)));
      if (info.state === "failed") process.exitCode = 1;
    });
}

function remoteOf({
  remoteType: type,
  remotePath: path,
  remoteOption: options,
  remoteSecret: secrets,
}: CreateOptions): Pick<CreateVolumeOptions, "remote"> {
  if (type === undefined && path === undefined) return {};
  if (type === undefined || path === undefined) throw new Error("--remote-type and --remote-path go together");
  return { remote: { type, path, ...given({ options, secrets }) } };
}

function listCommand(): Command {
  return new Command("ls")
    .alias("list")
    .description("list volumes, newest first")
    .option("-l, --label <key=value>", "only those with this label; repeatable", collectPair)
    .option("-m, --max <count>", "stop after so many", number, 1_000)
    .addHelpText("after", "\nExample:\n  banyan volume ls -l team=a")
    .action(async (options: { label?: Record<string, string>; max: number }, command: Command) => {
      const { banyan, show } = await openSession(command);
      const found: VolumeInfo[] = [];
      for await (const { info } of banyan.volumes.list(given({ labels: options.label }))) {
        if (found.length >= options.max) break;
        found.push(info);
      }
      show(found, () => volumesTable(found, Date.now()));
    });
}

function showCommand(): Command {
  return new Command("show")
    .alias("get")
    .description("look at a volume: its state, usage and quota")
    .argument("<volume>", "its name or id")
    .addHelpText("after", "\nExample:\n  banyan volume show data")
    .action(async (ref: string, _options: object, command: Command) => {
      const { banyan, show } = await openSession(command);
      const { info } = await banyan.volumes.get(ref);
      show(info, () => volumeText(info));
    });
}

function renameCommand(): Command {
  return new Command("rename")
    .description("give a volume another name; what has it mounted keeps it")
    .argument("<volume>", "its name or id")
    .argument("<name>")
    .addHelpText("after", "\nExample:\n  banyan volume rename data data-2026")
    .action(async (ref: string, name: string, _options: object, command: Command) => {
      const { banyan, show } = await openSession(command);
      const info = await banyan.volumes.at(ref).update({ name });
      show(info, () => `${info.id}  ${info.name}`);
    });
}

function labelCommand(): Command {
  return new Command("label")
    .description("set and remove labels of a volume")
    .argument("<volume>", "its name or id")
    .argument("<change...>", "key=value sets one, key= removes it")
    .addHelpText("after", "\nExample:\n  banyan volume label data team=a draft=")
    .action(async (ref: string, changes: string[], _options: object, command: Command) => {
      const { banyan, show } = await openSession(command);
      const labels = changes.reduce((all, change) => collectLabelChange(change, all), {} as Record<string, string | null>);
      const info = await banyan.volumes.at(ref).update({ labels });
      show(info, () => volumeText(info));
    });
}

function quotaCommand(): Command {
  return new Command("quota")
    .description("change what a volume may hold")
    .argument("<volume>", "its name or id")
    .argument("<size>", "512M, 10G, 2T or none", quotaMb)
    .addHelpText("after", "\nExample:\n  banyan volume quota data 200G")
    .action(async (ref: string, quota: number | null, _options: object, command: Command) => {
      const { banyan, show } = await openSession(command);
      const info = await banyan.volumes.at(ref).update({ quotaMb: quota });
      show(info, () => volumeText(info));
    });
}

function usersCommand(): Command {
  return new Command("users")
    .description("which sandboxes have a volume among their mounts, running or not")
    .argument("<volume>", "its name or id")
    .addHelpText("after", "\nExample:\n  banyan volume users data")
    .action(async (ref: string, _options: object, command: Command) => {
      const { banyan, show } = await openSession(command);
      const users = await banyan.volumes.at(ref).users();
      show(users, () => usersText(users));
    });
}

function removeCommand(): Command {
  return new Command("rm")
    .alias("delete")
    .description("delete volumes with all their versions; refused while sandboxes have them among their mounts")
    .argument("<volume...>", "names or ids")
    .option("--force", "also where stopped sandboxes have them, which cannot start any more")
    .addHelpText("after", "\nExample:\n  banyan volume rm data")
    .action(async (refs: string[], options: { force?: boolean }, command: Command) => {
      const { banyan, show } = await openSession(command);
      for (const ref of refs) {
        await banyan.volumes.at(ref).delete(options);
        show({ volume: ref, deleted: true }, () => ref);
      }
    });
}
