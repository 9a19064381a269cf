import { bootstrap } from "./bootstrap.mjs";
import { runScript } from "./child.mjs";
import { DATA_DIR_DEFAULT } from "./flags.mjs";
import { runCommand } from "./report.mjs";

await runCommand(async () => {
  await bootstrap(process.env.BANYAN_DATA_DIR ?? DATA_DIR_DEFAULT);
  return runScript("test/sim/main.ts", process.argv.slice(2));
});
