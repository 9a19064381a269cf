import picocolors from "picocolors";

/** Colours are for eyes: where output goes into a pipe or a file, a script reads it, under CI too. NO_COLOR and FORCE_COLOR have the last word. */
function isWanted({ NO_COLOR, FORCE_COLOR }: NodeJS.ProcessEnv): boolean {
  if (NO_COLOR) return false;
  return Boolean(FORCE_COLOR) || (process.stdout.isTTY && process.stderr.isTTY);
}

export const colours = picocolors.createColors(isWanted(process.env));
