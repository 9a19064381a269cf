import { mkdir, readFile, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, join } from "node:path";

/** Where to call, and as whom. */
export interface Settings {
  url?: string;
  apiKey?: string;
}

export interface Surroundings {
  env: NodeJS.ProcessEnv;
  /** What `banyan login` has written. */
  file: Settings;
}

/** A flag beats the environment, which beats the file. */
export function chooseSettings(flags: Settings, { env, file }: Surroundings): Settings {
  const url = flags.url ?? env.BANYAN_URL ?? file.url;
  const apiKey = flags.apiKey ?? env.BANYAN_API_KEY ?? file.apiKey;
  return { ...(url !== undefined && { url }), ...(apiKey !== undefined && { apiKey }) };
}

export function settingsPath(env: NodeJS.ProcessEnv): string {
  return join(env.XDG_CONFIG_HOME ?? join(homedir(), ".config"), "banyan", "config.json");
}

export async function readSettings(path: string): Promise<Settings> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return {};
    throw error;
  }
  const { url, apiKey }: Settings = JSON.parse(text);
  return { ...(typeof url === "string" && { url }), ...(typeof apiKey === "string" && { apiKey }) };
}

/** Readable by its owner only: it holds the key. */
export async function writeSettings(path: string, settings: Settings): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  await writeFile(path, `${JSON.stringify(settings, null, 2)}\n`, { mode: 0o600 });
}
