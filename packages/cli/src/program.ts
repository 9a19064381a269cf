import { Command } from "commander";
import { buildCommand } from "./commands/build.ts";
import { diffCommand } from "./commands/diff.ts";
import { forkCommand } from "./commands/fork.ts";
import { forksCommand } from "./commands/forks.ts";
import { imageCommand } from "./commands/image.ts";
import { keyCommand } from "./commands/key.ts";
import { archiveCommand, promoteCommand, treeCommand } from "./commands/lineage.ts";
import { loginCommand } from "./commands/login.ts";
import { nodeCommand } from "./commands/node.ts";
import { organisationCommand } from "./commands/organisation.ts";
import { registryCommand } from "./commands/registry.ts";
import { sandboxCommand } from "./commands/sandbox.ts";
import { shellCommand } from "./commands/shell.ts";
import { usageCommand } from "./commands/usage.ts";
import { volumeCommand } from "./commands/volume.ts";

const EXAMPLES = `
Examples:
  banyan login --url http://127.0.0.1:7070 --api-key bny_…
  banyan sandbox create -e GREETING=hello
  banyan sandbox exec sbx_… -- python3 -c "print(6 * 7)"
  banyan shell sbx_…
  banyan sandbox cp ./src sbx_…:/workspace/src
  banyan image build -f environment.json --name team/app
  banyan sandbox create --image team/app
  banyan fork sbx_… -n 100 --cmd './try.sh' --policy first_success
  banyan volume create data && banyan volume cp ./data data:/
  banyan sandbox create --volume data:/data:cow
  banyan sandbox rm sbx_…

The address and the key come from the flags, else from BANYAN_URL and BANYAN_API_KEY, else from what \`banyan login\` has kept.`;

export function createProgram(): Command {
  return new Command("banyan")
    .description("sandboxes for agents, in milliseconds")
    .option("--url <address>", "the gateway's address")
    .option("--api-key <key>", "who you are")
    .option("--json", "answer in JSON")
    .showSuggestionAfterError()
    .addHelpText("after", EXAMPLES)
    .addCommand(sandboxCommand())
    .addCommand(shellCommand())
    .addCommand(forkCommand())
    .addCommand(forksCommand())
    .addCommand(diffCommand())
    .addCommand(promoteCommand())
    .addCommand(treeCommand())
    .addCommand(archiveCommand())
    .addCommand(volumeCommand())
    .addCommand(imageCommand())
    .addCommand(buildCommand())
    .addCommand(registryCommand())
    .addCommand(keyCommand())
    .addCommand(organisationCommand())
    .addCommand(nodeCommand())
    .addCommand(usageCommand())
    .addCommand(loginCommand());
}
