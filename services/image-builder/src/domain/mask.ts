const MASK = "***";
/** Shorter pieces of a secret of several lines say nothing, and masking them would tear words apart. */
const LINE_LENGTH_MIN = 4;

/** A function that takes the values of secrets out of a text, as a whole and line by line, the longest first. */
export function maskOf(secrets: Readonly<Record<string, string>>): (text: string) => string {
  const lines = Object.values(secrets).flatMap((value) => [
    value,
    ...value.split(/\r?\n/).filter((line) => line.trim().length >= LINE_LENGTH_MIN),
  ]);
  const pieces = [...new Set(lines.flatMap((line) => [line, line.trim()]))]
    .filter((piece) => piece !== "")
    .toSorted((a, b) => b.length - a.length);
  if (pieces.length === 0) return (text) => text;
  return (text) => pieces.reduce((masked, piece) => masked.replaceAll(piece, MASK), text);
}
