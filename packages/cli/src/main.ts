#!/usr/bin/env node
import { errorJson, errorText } from "./print.ts";
import { createProgram } from "./program.ts";

const program = createProgram();
try {
  await program.parseAsync();
} catch (error) {
  const text = process.argv.includes("--json") ? errorJson(error) : errorText(error);
  process.stderr.write(`${text}\n`);
  process.exitCode = 1;
}
