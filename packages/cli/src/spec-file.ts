import { readFile } from "node:fs/promises";
import { text } from "node:stream/consumers";
import { Image, type ImageSpec } from "@banyan/sdk";

/** The API's own JSON. What it holds is the server's to judge. */
export async function readSpec(path: string): Promise<ImageSpec> {
  const content = await read(path);
  try {
    return JSON.parse(content) as ImageSpec;
  } catch (cause) {
    throw new Error(`${path} is no valid JSON`, { cause });
  }
}

/** A spec in JSON; what is not called so is a Dockerfile. `-` is standard input. */
export async function readImage(path: string, context: string | undefined): Promise<Image | ImageSpec> {
  if (!path.endsWith(".json")) return Image.dockerfile(await read(path), context === undefined ? {} : { context });
  if (context !== undefined) throw new Error("--context goes with a Dockerfile; a spec names its files itself");
  return readSpec(path);
}

const read = (path: string): Promise<string> => (path === "-" ? text(process.stdin) : readFile(path, "utf8"));
