import { Banyan } from "@banyan/sdk";
import type { Command } from "commander";
import { chooseSettings, readSettings, type Settings, settingsPath } from "./settings.ts";

/** What a command works with. */
export interface Session {
  banyan: Banyan;
  json: boolean;
  /** JSON where that was asked for, else the text for people. */
  show(value: unknown, text: () => string): void;
}

interface GlobalOptions extends Settings {
  json?: boolean;
}

export async function openSession(command: Command): Promise<Session> {
  const { url, apiKey, json = false } = command.optsWithGlobals<GlobalOptions>();
  const file = await readSettings(settingsPath(process.env));
  const settings = chooseSettings(
    { ...(url !== undefined && { url }), ...(apiKey !== undefined && { apiKey }) },
    { env: process.env, file },
  );
  if (settings.apiKey === undefined) {
    throw new Error("no API key: run `banyan login --api-key <key>`, set BANYAN_API_KEY, or pass --api-key");
  }
  return {
    banyan: new Banyan(settings),
    json,
    show: (value, text) => process.stdout.write(`${json ? JSON.stringify(value, null, 2) : text()}\n`),
  };
}

/** The given options without the absent ones. */
export function given<T extends object>(options: T): { [Key in keyof T]?: Exclude<T[Key], undefined> } {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as {
    [Key in keyof T]?: Exclude<T[Key], undefined>;
  };
}
