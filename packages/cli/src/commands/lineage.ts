import { Command } from "commander";
import { openSession } from "../session.ts";
import { NAMED_MAX, treeText } from "../tree-text.ts";
import { number } from "../values.ts";

export function promoteCommand(): Command {
  return new Command("promote")
    .description("let the parent of a child go on from the child's files, under its own id")
    .argument("<child>", "a sandbox that a fork has made")
    .option("-f, --force", "also where the parent's own files have changed since the fork; those changes are lost")
    .addHelpText("after", "\nExamples:\n  banyan promote sbx_…\n  banyan promote sbx_… --force")
    .action(async (id: string, options: { force?: boolean }, command: Command) => {
      const { banyan, show } = await openSession(command);
      const promotion = await banyan.sandboxes.at(id).promote(options);
      const { parentId, childId, state } = promotion;
      show(promotion, () => `${parentId}  goes on from ${childId}  ${state}`);
    });
}

export function treeCommand(): Command {
  return new Command("tree")
    .description("the tree of forks that a sandbox belongs to")
    .argument("<sandbox>")
    .option(
      "-m, --max <count>",
      "children of a fork that are all named; of a larger one only those with something to tell",
      number,
      NAMED_MAX,
    )
    .addHelpText("after", "\nExample:\n  banyan tree sbx_…")
    .action(async (id: string, options: { max: number }, command: Command) => {
      const { banyan, show } = await openSession(command);
      const lineage = await banyan.sandboxes.at(id).lineage();
      show(lineage, () => treeText(lineage, id, options.max));
    });
}

export function archiveCommand(): Command {
  return new Command("archive")
    .description("put the files of stopped sandboxes away and give up their disks: they can be started on any node then")
    .argument("<id...>")
    .addHelpText("after", "\nExample:\n  banyan sandbox stop sbx_… && banyan archive sbx_… && banyan sandbox start sbx_…")
    .action(async (ids: string[], _options: object, command: Command) => {
      const { banyan, show } = await openSession(command);
      for (const id of ids) {
        const info = await banyan.sandboxes.at(id).archive();
        show(info, () => `${id}  ${info.state}  ${info.nodeId === null ? "archived" : `on ${info.nodeId}`}`);
      }
    });
}
