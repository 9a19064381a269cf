import type { Organisation, Quota } from "@banyan/sdk";
import { Command } from "commander";
import { ago, table } from "../print.ts";
import { given, openSession } from "../session.ts";
import { number } from "../values.ts";

export function organisationCommand(): Command {
  return new Command("org")
    .description("organisations and their quotas (needs an admin's key)")
    .addCommand(createCommand())
    .addCommand(listCommand())
    .addCommand(quotaCommand());
}

function organisationsText(organisations: Organisation[]): string {
  const now = Date.now();
  const rows = organisations.map(({ id, name, quota, createdAt }) => [
    id,
    name,
    quota.sandboxes,
    quota.cpu,
    quota.memoryMb,
    ago(createdAt, now),
  ]);
  return table(["ID", "NAME", "SANDBOXES", "CPU", "MEMORY MB", "AGE"], rows);
}

function createCommand(): Command {
  return new Command("create")
    .description("make an organisation")
    .argument("<name>")
    .addHelpText("after", "\nExample:\n  banyan org create acme && banyan key create first --organisation acme")
    .action(async (name: string, _options: object, command: Command) => {
      const { banyan, show } = await openSession(command);
      const organisation = await banyan.organisations.create({ name });
      show(organisation, () => organisationsText([organisation]));
    });
}

function listCommand(): Command {
  return new Command("ls")
    .alias("list")
    .description("list organisations")
    .action(async (_options: object, command: Command) => {
      const { banyan, show } = await openSession(command);
      const organisations = await banyan.organisations.list();
      show(organisations, () => organisationsText(organisations));
    });
}

function quotaCommand(): Command {
  return new Command("quota")
    .description("show or change an organisation's quota")
    .argument("<id or name>")
    .option("--sandboxes <count>", "", number)
    .option("--cpu <cores>", "", number)
    .option("--memory-mb <mb>", "", number)
    .addHelpText("after", "\nExample:\n  banyan org quota acme --sandboxes 50 --cpu 16")
    .action(async (id: string, { sandboxes, cpu, memoryMb }: Partial<Quota>, command: Command) => {
      const { banyan, show } = await openSession(command);
      const quota = given({ sandboxes, cpu, memoryMb });
      const changes = Object.keys(quota).length > 0;
      const organisation = changes ? await banyan.organisations.setQuota(id, quota) : await banyan.organisations.get(id);
      show(organisation, () => organisationsText([organisation]));
    });
}
