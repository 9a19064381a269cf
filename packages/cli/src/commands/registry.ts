import { text } from "node:stream/consumers";
import { Command } from "commander";
import { ago, table } from "../print.ts";
import { openSession } from "../session.ts";

export function registryCommand(): Command {
  return new Command("registry")
    .description("credentials for the registries that images are pulled from")
    .addCommand(addCommand())
    .addCommand(listCommand())
    .addCommand(removeCommand());
}

function addCommand(): Command {
  return new Command("add")
    .description("keep credentials; the password is read from standard input and never shown again")
    .argument("<host>")
    .requiredOption("-u, --username <name>")
    .addHelpText("after", "\nExample:\n  cat password.txt | banyan registry add registry.example:5000 -u ci")
    .action(async (host: string, options: { username: string }, command: Command) => {
      const { banyan, show } = await openSession(command);
      const password = (await text(process.stdin)).replace(/\r?\n$/, "");
      if (password === "") throw new Error("no password on standard input");
      const saved = await banyan.registries.save(host, { username: options.username, password });
      show(saved, () => `${saved.host}  ${saved.username}`);
    });
}

function listCommand(): Command {
  return new Command("ls")
    .alias("list")
    .description("list the registries that credentials are kept for")
    .addHelpText("after", "\nExample:\n  banyan registry ls")
    .action(async (_options: object, command: Command) => {
      const { banyan, show } = await openSession(command);
      const registries = await banyan.registries.list();
      const now = Date.now();
      show(registries, () =>
        table(
          ["HOST", "USERNAME", "AGE"],
          registries.map(({ host, username, createdAt }) => [host, username, ago(createdAt, now)]),
        ),
      );
    });
}

function removeCommand(): Command {
  return new Command("rm")
    .alias("delete")
    .description("forget credentials")
    .argument("<host...>")
    .addHelpText("after", "\nExample:\n  banyan registry rm registry.example:5000")
    .action(async (hosts: string[], _options: object, command: Command) => {
      const { banyan, show } = await openSession(command);
      for (const host of hosts) {
        await banyan.registries.delete(host);
        show({ host, deleted: true }, () => host);
      }
    });
}
