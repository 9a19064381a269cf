import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ChangesEnd, type ChangesQuery, changesOf, type Trees } from "@banyan/runtime";

/** Layers on disk, made by a real overlay: what is done in `merged` lands in `upper`. */
export interface TestTrees {
  directory: string;
  base: string;
  /** Runs a shell script in the base layer, before anything stands on it. */
  inBase(script: string): void;
  /** An overlay over the given layers, top first; `script` runs in it. Answers its upper. */
  change(name: string, layers: readonly string[], script: string): string;
  end(): void;
}

export function testTrees(): TestTrees {
  const directory = mkdtempSync(join(tmpdir(), "bnydiff-"));
  const base = join(directory, "base");
  mkdirSync(base);
  const bash = (cwd: string, script: string) => execFileSync("bash", ["-ec", script], { cwd, stdio: ["ignore", "inherit", "inherit"] });
  return {
    directory,
    base,
    inBase: (script) => void bash(base, script),
    change(name, layers, script) {
      const [upper, work, merged] = ["upper", "work", "merged"].map((part) => join(directory, name, part)) as [string, string, string];
      for (const path of [upper, work, merged]) mkdirSync(path, { recursive: true });
      const options = `lowerdir=${layers.join(":")},upperdir=${upper},workdir=${work}`;
      execFileSync("mount", ["-t", "overlay", "overlay", "-o", options, merged]);
      try {
        bash(merged, script);
      } finally {
        execFileSync("umount", [merged]);
      }
      return upper;
    },
    end: () => rmSync(directory, { recursive: true, force: true }),
  };
}

export const standing = (upper: string, ...base: string[]): Trees => ({ now: [upper], before: [], base, leftOut: [] });

export interface Told {
  /** `A path`, `M path (content, mode)`, `D path`. */
  lines: string[];
  end: ChangesEnd;
}

const LETTERS = { added: "A", changed: "M", deleted: "D" } as const;

export async function told(trees: Trees, query: ChangesQuery = {}): Promise<Told> {
  const lines: string[] = [];
  for await (const part of changesOf(trees, query)) {
    if ("end" in part) return { lines, end: part.end };
    if (!("change" in part)) continue;
    const { kind, what, path } = part.change;
    lines.push(`${LETTERS[kind]} ${path.toString("latin1")}${what.length > 0 ? ` (${what.join(", ")})` : ""}`);
  }
  throw new Error("the end was not told");
}
