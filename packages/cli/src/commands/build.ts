import type { Build, BuildEvent } from "@banyan/sdk";
import { Command } from "commander";
import { ago, table } from "../print.ts";
import { lineOf } from "../progress.ts";
import { given, openSession } from "../session.ts";
import { number } from "../values.ts";

export function buildCommand(): Command {
  return new Command("build")
    .description("the work of making images")
    .addCommand(listCommand())
    .addCommand(logsCommand())
    .addCommand(cancelCommand());
}

function listCommand(): Command {
  return new Command("ls")
    .alias("list")
    .description("list builds, newest first")
    .option("--image <id>", "only those of this image")
    .option("-m, --max <count>", "stop after so many", number, 100)
    .addHelpText("after", "\nExample:\n  banyan build ls --max 10")
    .action(async (options: { image?: string; max: number }, command: Command) => {
      const { banyan, show } = await openSession(command);
      const found: Build[] = [];
      for await (const build of banyan.builds.list(given({ image: options.image }))) {
        if (found.length >= options.max) break;
        found.push(build);
      }
      show(found, () => {
        const now = Date.now();
        const rows = found.map((build) => [
          build.id,
          build.state,
          build.imageId,
          stepsText(build),
          ago(build.createdAt, now),
          build.failure?.code,
        ]);
        return table(["ID", "STATE", "IMAGE", "STEPS", "AGE", "FAILURE"], rows);
      });
    });
}

function stepsText({ steps, cached }: Build): string {
  if (cached) return "cached";
  return `${steps.filter(({ state }) => state === "done" || state === "cached").length}/${steps.length}`;
}

function logsCommand(): Command {
  return new Command("logs")
    .description("what a build did, kept after its end too")
    .argument("<id>")
    .option("-f, --follow", "go on until it has ended")
    .addHelpText("after", "\nExamples:\n  banyan build logs bld_…\n  banyan build logs -f bld_…")
    .action(async (id: string, options: { follow?: boolean }, command: Command) => {
      const { banyan, json } = await openSession(command);
      const textOf = (event: BuildEvent): string => (json ? `${JSON.stringify(event)}\n` : lineOf(event));
      for await (const event of banyan.builds.events(id, { follow: options.follow ?? false })) process.stdout.write(textOf(event));
    });
}

function cancelCommand(): Command {
  return new Command("cancel")
    .description("end builds that are under way")
    .argument("<id...>")
    .addHelpText("after", "\nExample:\n  banyan build cancel bld_…")
    .action(async (ids: string[], _options: object, command: Command) => {
      const { banyan, show } = await openSession(command);
      for (const id of ids) {
        const build = await banyan.builds.cancel(id);
        show(build, () => `${build.id}  ${build.state}`);
      }
    });
}
