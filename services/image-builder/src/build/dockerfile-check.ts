import { posix } from "node:path";
import { type Instruction, instructionsOf } from "../domain/dockerfile-references.ts";

const WORDS = new Set(
  "ADD ARG CMD COPY ENTRYPOINT ENV EXPOSE FROM HEALTHCHECK LABEL MAINTAINER ONBUILD RUN SHELL STOPSIGNAL USER VOLUME WORKDIR".split(" "),
);
/** The engine would fetch it itself, from wherever the engine can reach. */
const REMOTE = /^([a-z][a-z0-9+.-]*:\/\/|git@)/i;
const HERE_DOCUMENT = /(?<!<)<<-?["']?[A-Za-z_]/;
const BUILDKIT_FLAG = /^--(mount|network|security|link|chmod|parents|exclude|checksum|keep-git-dir)\b/;

/** Why a Dockerfile cannot be built here, in one line; null where nothing speaks against it. The engine has the last word. */
export function problemOf(text: string, { hasContext }: { hasContext: boolean }): string | null {
  let hasBase = false;
  for (const instruction of instructionsOf(text)) {
    const problem = problemOfInstruction(instruction, hasBase, hasContext);
    if (problem !== null) return `dockerfile parse error line ${lineOf(text, instruction)}: ${problem}`;
    hasBase ||= instruction.word === "FROM";
  }
  return hasBase ? null : "dockerfile parse error: it has no FROM, so there is nothing to build";
}

function problemOfInstruction({ word, rest }: Instruction, hasBase: boolean, hasContext: boolean): string | null {
  if (!WORDS.has(word)) return `unknown instruction: ${word.slice(0, 50)}`;
  if (rest === "") return `${word} says nothing`;
  if (!hasBase && word !== "FROM" && word !== "ARG") return `${word} comes before the first FROM`;
  if (word === "ONBUILD") return problemOfInstruction(instructionOf(rest), hasBase, hasContext);
  const flags = flagsOf(rest);
  const needsBuildKit = flags.find((flag) => BUILDKIT_FLAG.test(flag)) ?? (isHereDocument(word, rest) ? "a here-document" : undefined);
  if (needsBuildKit !== undefined) return `${needsBuildKit} needs BuildKit, which builds here do without`;
  const takesFromContext = (word === "COPY" || word === "ADD") && !flags.some((flag) => flag.startsWith("--from="));
  return takesFromContext ? problemOfSources(word, sourcesOf(rest), hasContext) : null;
}

function problemOfSources(word: string, sources: readonly string[], hasContext: boolean): string | null {
  const remote = sources.find((source) => REMOTE.test(source));
  if (remote !== undefined) return `${word} of a remote file is refused: fetch ${remote.slice(0, 200)} in a RUN`;
  const outside = sources.find((source) => /^\.\.(\/|$)/.test(posix.normalize(source)));
  if (outside !== undefined) return `${word} leads out of the context: ${outside.slice(0, 200)}`;
  return hasContext ? null : `${word} needs a \`context\` to take files from`;
}

function instructionOf(text: string): Instruction {
  const [, word = "", rest = ""] = /^(\S+)\s*(.*)$/s.exec(text) ?? [];
  return { word: word.toUpperCase(), rest, start: 0, end: 0 };
}

/** A RUN's text is a shell's: only what stands in front of it is a flag. */
function flagsOf(rest: string): string[] {
  const words = rest.split(/\s+/);
  const end = words.findIndex((word) => !word.startsWith("--"));
  return words.slice(0, end === -1 ? words.length : end);
}

const isHereDocument = (word: string, rest: string): boolean => ["RUN", "COPY", "ADD"].includes(word) && HERE_DOCUMENT.test(rest);

/** All but the last, which is where they go. */
function sourcesOf(rest: string): string[] {
  const bare = rest.replace(/^(--\S+\s+)*/, "");
  const words = bare.startsWith("[") ? [...bare.matchAll(/"((?:[^"\\]|\\.)*)"/g)].map(([, word = ""]) => word) : bare.split(/\s+/);
  return words.slice(0, -1);
}

const lineOf = (text: string, { start }: Instruction): number => text.slice(0, start).split("\n").length;
