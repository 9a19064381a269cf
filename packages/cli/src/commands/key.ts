import { Command } from "commander";
import { ago, table } from "../print.ts";
import { given, openSession } from "../session.ts";

export function keyCommand(): Command {
  return new Command("key")
    .description("make and revoke API keys")
    .addCommand(createCommand())
    .addCommand(listCommand())
    .addCommand(revokeCommand());
}

function createCommand(): Command {
  return new Command("create")
    .description("make a key; its secret is shown this once")
    .argument("<name>")
    .option("--role <role>", "member or admin")
    .option("--organisation <id or name>", "default: your own; another one needs an admin's key")
    .addHelpText("after", "\nExamples:\n  banyan key create ci\n  banyan key create ops --role admin --organisation acme")
    .action(async (name: string, options: { role?: "member" | "admin"; organisation?: string }, command: Command) => {
      const { banyan, show } = await openSession(command);
      const key = await banyan.keys.create({ name, ...given(options) });
      show(key, () => `${key.key}\nThis is shown only once. Its id is ${key.id}.`);
    });
}

function listCommand(): Command {
  return new Command("ls")
    .alias("list")
    .description("list keys")
    .option("--organisation <id or name>")
    .action(async (options: { organisation?: string }, command: Command) => {
      const { banyan, show } = await openSession(command);
      const keys = await banyan.keys.list(options);
      show(keys, () => {
        const now = Date.now();
        const rows = keys.map((key) => [
          key.id,
          key.name,
          key.role,
          `${key.hint}…`,
          ago(key.createdAt, now),
          ago(key.lastUsedAt, now),
          key.revokedAt ? "revoked" : "valid",
        ]);
        return table(["ID", "NAME", "ROLE", "KEY", "AGE", "USED", "STATE"], rows);
      });
    });
}

function revokeCommand(): Command {
  return new Command("revoke")
    .description("revoke keys, at once")
    .argument("<id...>")
    .action(async (ids: string[], _options: object, command: Command) => {
      const { banyan, show } = await openSession(command);
      for (const id of ids) {
        await banyan.keys.revoke(id);
        show({ id, revoked: true }, () => id);
      }
    });
}
