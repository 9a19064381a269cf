import { Command } from "commander";
import { properties } from "../print.ts";
import { openSession } from "../session.ts";

export function usageCommand(): Command {
  return new Command("usage")
    .description("what your organisation holds, and its quota")
    .action(async (_options: object, command: Command) => {
      const { banyan, show } = await openSession(command);
      const held = await banyan.usage();
      const { organisation, usage } = held;
      const { quota } = organisation;
      show(held, () =>
        properties([
          ["organisation", organisation.name],
          ["sandboxes", `${usage.sandboxes} of ${quota.sandboxes}`],
          ["cpu", `${usage.cpu} of ${quota.cpu}`],
          ["memory MB", `${usage.memoryMb} of ${quota.memoryMb}`],
        ]),
      );
    });
}
