import { readdirSync } from "node:fs";
import { join } from "node:path";
import { newId } from "@banyan/kernel";

/** Of what is frozen and not, or not yet, kept: no kept one has such a name. */
const DRAFT_PREFIX = ".new-";

export const frozenDraft = (directory: string): string => join(directory, `${DRAFT_PREFIX}${newId("req")}`);

export const draftsIn = (directory: string): string[] => readdirSync(directory).filter((name) => name.startsWith(DRAFT_PREFIX));

export const keptIn = (directory: string): string[] => readdirSync(directory).filter((name) => !name.startsWith(DRAFT_PREFIX));
