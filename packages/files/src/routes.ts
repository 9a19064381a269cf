import { checksum } from "./checksum.ts";
import { headContent, readContent, writeContent } from "./file-content.ts";
import { chmod, list, mkdir, move, remove, stat } from "./files.ts";
import type { FileHandler } from "./operation.ts";
import { find, grep, replace } from "./search.ts";
import { readTar, writeTar } from "./tar.ts";

export interface FileRoute {
  method: "GET" | "HEAD" | "PUT" | "POST";
  /** Below `files/`. */
  path: string;
  /** Leaves everything as it is. */
  reads: boolean;
  handler: FileHandler;
}

const reading = (method: FileRoute["method"], path: string, handler: FileHandler): FileRoute => ({ method, path, reads: true, handler });
const writing = (method: FileRoute["method"], path: string, handler: FileHandler): FileRoute => ({ method, path, reads: false, handler });

/** All that can be done with files over HTTP. The most frequent first. */
export const FILE_ROUTES: readonly FileRoute[] = [
  reading("GET", "content", readContent),
  reading("HEAD", "content", headContent),
  writing("PUT", "content", writeContent),
  reading("GET", "stat", stat),
  reading("GET", "list", list),
  writing("POST", "mkdir", mkdir),
  writing("POST", "move", move),
  writing("POST", "remove", remove),
  writing("POST", "chmod", chmod),
  reading("GET", "find", find),
  reading("GET", "checksum", checksum),
  reading("POST", "grep", grep),
  writing("POST", "replace", replace),
  reading("GET", "tar", readTar),
  writing("PUT", "tar", writeTar),
];
