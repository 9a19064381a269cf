import type { ForkInfo } from "@banyan/sdk";
import { Command } from "commander";
import { countsText } from "../fork-progress.ts";
import { childrenTable, forkText } from "../fork-text.ts";
import { ago, table } from "../print.ts";
import { given, openSession } from "../session.ts";
import { number } from "../values.ts";
import { childrenOf } from "./fork.ts";

export function forksCommand(): Command {
  return new Command("forks")
    .description("forks that run or have run")
    .addCommand(listCommand())
    .addCommand(getCommand())
    .addCommand(cancelCommand());
}

function listCommand(): Command {
  return new Command("ls")
    .alias("list")
    .description("list forks, newest first")
    .option("--sandbox <id>", "only those of this sandbox")
    .option("-m, --max <count>", "stop after so many", number, 100)
    .addHelpText("after", "\nExample:\n  banyan forks ls --sandbox sbx_…")
    .action(async (options: { sandbox?: string; max: number }, command: Command) => {
      const { banyan, show } = await openSession(command);
      const found: ForkInfo[] = [];
      for await (const fork of banyan.forks.list(given({ sandbox: options.sandbox }))) {
        if (found.length >= options.max) break;
        found.push(fork);
      }
      show(found, () => {
        const now = Date.now();
        const rows = found.map(({ id, state, stateReason, source, counts, winner, createdAt }) => [
          id,
          stateReason === null ? state : `${state} (${stateReason})`,
          source.sandbox ?? source.image,
          counts.total,
          countsText(counts),
          winner?.index,
          ago(createdAt, now),
        ]);
        return table(["ID", "STATE", "SOURCE", "COUNT", "CHILDREN", "WINNER", "AGE"], rows);
      });
    });
}

function getCommand(): Command {
  return new Command("get")
    .description("look at a fork and its children")
    .argument("<id>")
    .option("-m, --max <count>", "children shown", number, 100)
    .addHelpText("after", "\nExample:\n  banyan forks get frk_… --max 1000")
    .action(async (id: string, options: { max: number }, command: Command) => {
      const { banyan, show } = await openSession(command);
      const fork = await banyan.forks.get(id);
      const children = await childrenOf(fork, options.max);
      show({ ...fork.info, children }, () => `${forkText(fork.info)}\n\n${childrenTable(children, fork.info)}`);
    });
}

function cancelCommand(): Command {
  return new Command("cancel")
    .description("end forks that are under way: unfinished children are deleted")
    .argument("<id...>")
    .option("--delete-children", "those that have ended too, of forks that have ended too")
    .addHelpText("after", "\nExamples:\n  banyan forks cancel frk_…\n  banyan forks cancel frk_… --delete-children")
    .action(async (ids: string[], options: { deleteChildren?: boolean }, command: Command) => {
      const { banyan, show } = await openSession(command);
      for (const id of ids) {
        const info = await (await banyan.forks.get(id)).cancel(options);
        show(info, () => `${id}  ${info.state}  ${countsText(info.counts)}`);
      }
    });
}
