/** One instruction and where it stands in the text. */
export interface Instruction {
  word: string;
  rest: string;
  start: number;
  end: number;
}

/** Beyond this a Dockerfile is not read on; the engine would refuse it too. */
const INSTRUCTIONS_MAX = 2_000;
const VARIABLE = /\$(?:\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}|([A-Za-z_][A-Za-z0-9_]*))/g;

/** What a Dockerfile takes from outside itself, by FROM and COPY --from, in order and once each; `scratch` and its own stages left out. */
export function referencesOf(text: string, buildArgs: Readonly<Record<string, string>>): string[] {
  return [...new Set(findReferences(text, buildArgs).map(({ reference }) => reference))];
}

/** The same Dockerfile with those references replaced by what they were pinned to. */
export function pinReferences(text: string, buildArgs: Readonly<Record<string, string>>, pins: ReadonlyMap<string, string>): string {
  let pinned = "";
  let at = 0;
  for (const { reference, written, start, end } of findReferences(text, buildArgs)) {
    const pin = pins.get(reference);
    if (pin === undefined) continue;
    pinned += text.slice(at, start) + replaceWord(text.slice(start, end), written, pin);
    at = end;
  }
  return pinned + text.slice(at);
}

/** The word alone, not where it is a part of another, as in `--platform=`. */
function replaceWord(text: string, written: string, pin: string): string {
  let isDone = false;
  return text.replace(/(\s|--from=)([^\s\\`]+)/g, (whole, before: string, word: string) => {
    if (isDone || word !== written) return whole;
    isDone = true;
    return `${before}${pin}`;
  });
}

interface Reference {
  reference: string;
  /** As it stands in the text, variables and all. */
  written: string;
  start: number;
  end: number;
}

function findReferences(text: string, buildArgs: Readonly<Record<string, string>>): Reference[] {
  const args = new Map<string, string>();
  const stages = new Set<string>(["scratch"]);
  const found: Reference[] = [];
  let fromSeen = 0;
  for (const { word, rest, start, end } of instructionsOf(text)) {
    // Only what stands before the first FROM is known to FROM lines.
    if (word === "ARG" && fromSeen === 0) {
      const [name = "", value] = rest.split(/=(.*)/s);
      args.set(name.trim(), buildArgs[name.trim()] ?? unquote(value ?? ""));
    }
    if (word !== "FROM" && word !== "COPY") continue;
    const written = word === "FROM" ? rest.split(/\s+/).find((part) => !part.startsWith("--")) : /--from=(\S+)/.exec(rest)?.[1];
    if (word === "FROM") fromSeen++;
    if (written === undefined || written === "") continue;
    const reference = substitute(written, args);
    const isOwn = stages.has(reference.toLowerCase()) || (word === "COPY" && /^\d+$/.test(reference));
    if (!isOwn) found.push({ reference, written, start, end });
    const stage = word === "FROM" ? /\sAS\s+(\S+)\s*$/i.exec(` ${rest}`)?.[1] : undefined;
    if (stage !== undefined) stages.add(stage.toLowerCase());
  }
  return found;
}

/** Instructions with their continued lines joined; comments, empty lines and the bodies of here-documents are passed over. */
export function* instructionsOf(text: string): Generator<Instruction> {
  const continues = /^#\s*escape\s*=\s*`/im.test(text.split(/^\s*[^#\s]/m)[0] ?? "") ? "`" : "\\";
  let at = 0;
  let hereEnds: string[] = [];
  let current: { text: string; start: number } | null = null;
  let count = 0;
  for (const line of text.split(/(?<=\n)/)) {
    const start = at;
    at += line.length;
    const bare = line.trim();
    if (hereEnds.length > 0) {
      if (bare === hereEnds[0]) hereEnds.shift();
      continue;
    }
    if (bare === "" || bare.startsWith("#")) continue;
    const goesOn = bare.endsWith(continues);
    const piece = goesOn ? bare.slice(0, -1) : bare;
    current = current === null ? { text: piece, start } : { text: `${current.text} ${piece}`, start: current.start };
    if (goesOn) continue;
    const [, word = "", rest = ""] = /^(\S+)\s*(.*)$/s.exec(current.text.trim()) ?? [];
    yield { word: word.toUpperCase(), rest, start: current.start, end: at };
    if (++count >= INSTRUCTIONS_MAX) return;
    hereEnds = /^(RUN|COPY|ADD)$/i.test(word)
      ? [...rest.matchAll(/<<-?["']?([A-Za-z_][A-Za-z0-9_]*)["']?/g)].map(([, end = ""]) => end)
      : [];
    current = null;
  }
}

const unquote = (text: string): string => text.trim().replace(/^(["'])(.*)\1$/s, "$2");

const substitute = (text: string, args: ReadonlyMap<string, string>): string =>
  unquote(text).replace(VARIABLE, (whole, braced: string | undefined, fallback: string | undefined, plain: string | undefined) => {
    const value = args.get(braced ?? plain ?? "");
    return value === undefined || value === "" ? (fallback ?? whole) : value;
  });
