/** Whether a path (relative, with `/`) is left out. */
export type Ignore = (path: string) => boolean;

interface Rule {
  matches: RegExp;
  keeps: boolean;
}

/** The lines of a `.dockerignore`: `*`, `?`, `**`, `[a-z]`, `!` takes back, the last that matches decides; what lies below a match is matched. */
export function ignoreOf(lines: readonly string[]): Ignore {
  const rules = lines
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map(ruleOf);
  return (path) => rules.reduce((ignored, { matches, keeps }) => (matches.test(path) ? !keeps : ignored), false);
}

/** Whether something below what is left out may be taken back, so that one has to look there. */
export const takesBack = (lines: readonly string[]): boolean => lines.some((line) => line.trim().startsWith("!"));

function ruleOf(line: string): Rule {
  const keeps = line.startsWith("!");
  const pattern = (keeps ? line.slice(1) : line)
    .trim()
    .replace(/^\.?\/+/, "")
    .replace(/\/+$/, "");
  return { keeps, matches: new RegExp(`^${regexOf(pattern)}(/.*)?$`, "s") };
}

function regexOf(pattern: string): string {
  return pattern.replaceAll(/\*\*\/|\*\*|\*|\?|\[[^\]]*\]|[\\^$.|+(){}[\]]/g, (token) => {
    if (token === "**/") return "(.*/)?";
    if (token === "**") return ".*";
    if (token === "*") return "[^/]*";
    if (token === "?") return "[^/]";
    if (token.length > 1) return token.replace(/^\[!/, "[^");
    return `\\${token}`;
  });
}
