import type { VolumeVersion } from "@banyan/sdk";
import { Command } from "commander";
import { given, openSession } from "../session.ts";
import { collectPair, number } from "../values.ts";
import { versionsTable, volumeText } from "../volume-text.ts";
import { quotaMb } from "../volume-values.ts";

const WAIT_S = 600;

export function forkCommand(): Command {
  return new Command("fork")
    .description("make another volume with the same content; they go different ways from then on")
    .argument("<volume>", "its name or id")
    .argument("[name]", "of the new one")
    .option("--version <version>", "with the content of this version")
    .option("-l, --label <key=value>", "a label of the new one; repeatable", collectPair)
    .option("--quota <size>", "of the new one (default: the same)", quotaMb)
    .option("--wait <s>", "for the end of the copy, where the store has to copy", number, WAIT_S)
    .addHelpText("after", "\nExamples:\n  banyan volume fork data data-try\n  banyan volume fork data --version v1 data-old")
    .action(
      async (
        ref: string,
        name: string | undefined,
        options: { version?: string; label?: Record<string, string>; quota?: number | null; wait: number },
        command: Command,
      ) => {
        const { banyan, show } = await openSession(command);
        const { version, label: labels, quota, wait: waitS } = options;
        const { info } = await banyan.volumes.at(ref).fork({ waitS, ...given({ name, version, labels, quotaMb: quota }) });
        show(info, () => `${info.id}  ${info.state}`);
        if (info.state === "failed") process.exitCode = 1;
      },
    );
}

export function snapshotCommand(): Command {
  return new Command("snapshot")
    .description("freeze a volume's content as a version that never changes")
    .argument("<volume>", "its name or id")
    .option("-n, --name <name>", "of the version")
    .option("--wait <s>", "for the end of the copy, where the store has to copy", number, WAIT_S)
    .addHelpText("after", "\nExample:\n  banyan volume snapshot data --name v1 && banyan sandbox create --volume data@v1:/data:cow")
    .action(async (ref: string, options: { name?: string; wait: number }, command: Command) => {
      const { banyan, show } = await openSession(command);
      const version = await banyan.volumes.at(ref).snapshot({ waitS: options.wait, ...given({ name: options.name }) });
      show(version, () => `${version.id}  ${version.state}`);
      if (version.state === "failed") process.exitCode = 1;
    });
}

export function versionsCommand(): Command {
  return new Command("versions")
    .description("list the versions of a volume, newest first; or delete some")
    .argument("<volume>", "its name or id")
    .option("-m, --max <count>", "stop after so many", number, 1_000)
    .option("--rm <version...>", "delete these: names or ids")
    .option("--force", "with --rm: also where stopped sandboxes have them mounted, which cannot start any more")
    .addHelpText("after", "\nExamples:\n  banyan volume versions data\n  banyan volume versions data --rm v1")
    .action(async (ref: string, options: { max: number; rm?: string[]; force?: boolean }, command: Command) => {
      const { banyan, show } = await openSession(command);
      const volume = banyan.volumes.at(ref);
      for (const version of options.rm ?? []) {
        await volume.deleteVersion(version, given({ force: options.force }));
        show({ version, deleted: true }, () => version);
      }
      if (options.rm !== undefined) return;
      const found: VolumeVersion[] = [];
      for await (const version of volume.versions()) {
        if (found.length >= options.max) break;
        found.push(version);
      }
      show(found, () => versionsTable(found, Date.now()));
    });
}

export function restoreCommand(): Command {
  return new Command("restore")
    .description("make a volume's content what it was at a version; what came after is lost")
    .argument("<volume>", "its name or id")
    .argument("<version>", "its name or id")
    .option("--wait <s>", "for the end of the copy, where the store has to copy", number, WAIT_S)
    .addHelpText("after", "\nExample:\n  banyan volume restore data v1")
    .action(async (ref: string, version: string, options: { wait: number }, command: Command) => {
      const { banyan, show } = await openSession(command);
      const info = await banyan.volumes.at(ref).restore(version, { waitS: options.wait });
      show(info, () => volumeText(info));
      if (info.state === "failed") process.exitCode = 1;
    });
}
