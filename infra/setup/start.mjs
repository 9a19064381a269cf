import { bootstrap } from "./bootstrap.mjs";
import { runService } from "./child.mjs";
import { parseStartFlags } from "./flags.mjs";
import { runCommand } from "./report.mjs";

await runCommand(async () => {
  const command = parseStartFlags(process.argv.slice(2));
  if (command.kind === "help") {
    process.stdout.write(command.text);
    return 0;
  }
  await bootstrap(command.dataDir, { ownDocker: command.env.BANYAN_DOCKER === "own" });
  return runService("services/standalone/src/main.ts", [], command.env);
});
