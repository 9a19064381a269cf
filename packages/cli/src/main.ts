#!/usr/bin/env node
import { errorJson, errorText } from "./print.ts";
import { createProgram } from "./program.ts";

// `banyan sandbox ls | head` closes the pipe early, which is no failure.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(0);
  throw error;
});

try {
  await createProgram().parseAsync();
} catch (error) {
  const text = process.argv.includes("--json") ? errorJson(error) : errorText(error);
  process.stderr.write(`${text}\n`);
  process.exitCode = 1;
}
