import { Banyan } from "@banyan/sdk";
import { Command } from "commander";
import { chooseSettings, type Settings, settingsPath, writeSettings } from "../settings.ts";

export function loginCommand(): Command {
  return new Command("login")
    .description("keep an address and a key for later calls, once they have proved right")
    .addHelpText("after", "\nExample:\n  banyan login --url http://127.0.0.1:7070 --api-key bny_…")
    .action(async (_options: object, command: Command) => {
      const flags = command.optsWithGlobals<Settings>();
      const settings = chooseSettings(flags, { env: process.env, file: {} });
      if (settings.apiKey === undefined) command.error("error: give the key with --api-key or BANYAN_API_KEY");
      const { organisation } = await new Banyan(settings).usage();
      const path = settingsPath(process.env);
      await writeSettings(path, settings);
      process.stdout.write(`You are in organisation ${organisation.name}. Kept in ${path}.\n`);
    });
}
