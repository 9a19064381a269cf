import { InvalidArgumentError } from "commander";

/** For options that may be repeated: `-e A=1 -e B=2`. */
export function collectPair(text: string, before: Record<string, string> = {}): Record<string, string> {
  const at = text.indexOf("=");
  if (at <= 0) throw new InvalidArgumentError("Write it as key=value.");
  return { ...before, [text.slice(0, at)]: text.slice(at + 1) };
}

/** Labels to change: `key=value` sets one, `key=` removes it. */
export function collectLabelChange(text: string, before: Record<string, string | null> = {}): Record<string, string | null> {
  const at = text.indexOf("=");
  if (at <= 0) throw new InvalidArgumentError("Write it as key=value, or key= to remove it.");
  return { ...before, [text.slice(0, at)]: text.slice(at + 1) === "" ? null : text.slice(at + 1) };
}

export function collect(text: string, before: string[] = []): string[] {
  return [...before, text];
}

/** `NAME=value`, or `NAME` for the value that the environment has: it then stands in no shell history. */
export function collectSecret(
  text: string,
  before: Record<string, string> = {},
  env: NodeJS.ProcessEnv = process.env,
): Record<string, string> {
  if (text.includes("=")) return collectPair(text, before);
  const value = env[text];
  if (value === undefined) throw new InvalidArgumentError(`The environment has no ${text}; write it as ${text}=value.`);
  return { ...before, [text]: value };
}

/** The server knows the bounds; here it only has to be a number. */
export function number(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || Number.isNaN(value)) throw new InvalidArgumentError("Write a number.");
  return value;
}

export type Seconds = number | "never";
export function secondsOrNever(text: string): Seconds {
  return text === "never" ? text : number(text);
}

/** As the API writes it. */
export const secondsOrNull = (seconds: Seconds | undefined): number | null | undefined => (seconds === "never" ? null : seconds);

export type Place = { kind: "local"; path: string } | { kind: "sandbox"; id: string; path: string };

/** `sbx_…:/path` is inside a sandbox, everything else is here. */
export function parsePlace(text: string): Place {
  const match = /^(sbx_[0-9a-z]+):(.*)$/.exec(text);
  if (!match) return { kind: "local", path: text };
  const [, id = "", path = ""] = match;
  return { kind: "sandbox", id, path: path === "" ? "/" : path };
}
