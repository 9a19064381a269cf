import type { MountOptions, SandboxInfo } from "@banyan/sdk";
import { Command } from "commander";
import { openSession } from "../session.ts";
import { mountText } from "../volume-text.ts";
import { parseMount } from "../volume-values.ts";

const mountsText = ({ id, volumes }: SandboxInfo): string =>
  volumes.length === 0 ? `${id}  no volumes` : volumes.map((mount) => `${id}  ${mountText(mount)}`).join("\n");

export function mountCommand(): Command {
  return new Command("mount")
    .description("mount volumes: into a running sandbox at once, into a stopped one at its next start")
    .argument("<id>")
    .argument("<mount...>", "<volume>[@<version>]:/path[:mode][:subpath]; the mode is rw, ro or cow")
    .addHelpText(
      "after",
      "\nExamples:\n  banyan sandbox mount sbx_… data:/data\n  banyan sandbox mount sbx_… data@v1:/data:cow tools:/opt/tools:ro:bin",
    )
    .action(async (id: string, mounts: string[], _options: object, command: Command) => {
      const asked: MountOptions[] = mounts.map(parseMount);
      const { banyan, show } = await openSession(command);
      let info: SandboxInfo | null = null;
      for (const mount of asked) info = await banyan.sandboxes.at(id).mount(mount);
      const last = info;
      if (last !== null) show(last, () => mountsText(last));
    });
}

export function unmountCommand(): Command {
  return new Command("unmount")
    .alias("umount")
    .description("unmount the volumes at these paths")
    .argument("<id>")
    .argument("<path...>")
    .option("--force", "also while processes use them: what they have open stays theirs until they close it")
    .addHelpText("after", "\nExample:\n  banyan sandbox unmount sbx_… /data")
    .action(async (id: string, paths: string[], options: { force?: boolean }, command: Command) => {
      const { banyan, show } = await openSession(command);
      let info: SandboxInfo | null = null;
      for (const path of paths) info = await banyan.sandboxes.at(id).unmount(path, options);
      const last = info;
      if (last !== null) show(last, () => mountsText(last));
    });
}
