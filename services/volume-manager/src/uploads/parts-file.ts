import { fault } from "@banyan/contracts";
import { NativeError, UNFINISHED_DIRECTORY } from "@banyan/runtime";

/** Of the host's own in a volume: seen through no call for its files. */
export const PARTS_DIRECTORY = `/${UNFINISHED_DIRECTORY}/uploads`;
export const OWN = { own: true } as const;
export const partsPath = (id: string): string => `${PARTS_DIRECTORY}/${id}`;

/** The path from the volume's root, as it is kept. Throws request.invalid. */
export function checkPath(path: string): string {
  const parts = path.split("/").filter((part) => part !== "" && part !== ".");
  const isFile = parts.length > 0 && !path.endsWith("/");
  if (path.includes("\0") || parts.includes("..") || !isFile || parts[0] === UNFINISHED_DIRECTORY)
    throw fault("request.invalid", {
      issues: [{ path: "path", message: `the path of a file, without \`..\`, and not within /${UNFINISHED_DIRECTORY}` }],
    });
  return `/${parts.join("/")}`;
}

/** Null where a file is missing; every other failure goes on. */
export function absent(thrown: unknown): null {
  if (thrown instanceof NativeError && thrown.errnoName === "ENOENT") return null;
  throw thrown;
}
