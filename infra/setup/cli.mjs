import { existsSync } from "node:fs";
import { runScript } from "./child.mjs";
import { Refusal, runCommand } from "./report.mjs";
import { NODE_24 } from "./workspace.mjs";

await runCommand(async () => {
  if (!existsSync(NODE_24)) throw new Refusal("The dependencies are not installed yet.", "`npm start` installs them.");
  // npm runs this in the repository; files that are named lie where the caller stands.
  if (process.env.npm_lifecycle_event === "banyan" && process.env.INIT_CWD) process.chdir(process.env.INIT_CWD);
  return runScript("packages/cli/src/main.ts", process.argv.slice(2));
});
