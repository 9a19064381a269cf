import { existsSync } from "node:fs";
import { runScript } from "./child.mjs";
import { Refusal, runCommand } from "./report.mjs";
import { NODE_24 } from "./workspace.mjs";

await runCommand(async () => {
  if (!existsSync(NODE_24)) throw new Refusal("The dependencies are not installed yet.", "`npm start` installs them.");
  return runScript("packages/cli/src/main.ts", process.argv.slice(2));
});
