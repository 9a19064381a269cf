import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fault } from "@banyan/contracts";
import { type AptSource, type Archive, chooseArchive, parseDeb822Sources, parseOneLineSources } from "../domain/archive.ts";

const OS_RELEASE = "/etc/os-release";
const APT_DIR = "/etc/apt";

/** The archive as this host's own configuration names it. */
export function hostArchive(wantedSuite: string): Archive {
  const osRelease = existsSync(OS_RELEASE) ? readFileSync(OS_RELEASE, "utf8") : "";
  const archive = chooseArchive({ osRelease, sources: hostSources() }, wantedSuite);
  if (archive !== null) return archive;
  throw fault(
    "image.build_failed",
    { path: APT_DIR },
    { message: "This host has no apt sources of its own release to build the image from." },
  );
}

function hostSources(): AptSource[] {
  const parts = join(APT_DIR, "sources.list.d");
  const files = [join(APT_DIR, "sources.list"), ...(existsSync(parts) ? readdirSync(parts).map((name) => join(parts, name)) : [])];
  return files
    .filter((path) => existsSync(path))
    .flatMap((path) => {
      if (path.endsWith(".sources")) return parseDeb822Sources(readFileSync(path, "utf8"));
      return path.endsWith(".list") ? parseOneLineSources(readFileSync(path, "utf8")) : [];
    });
}
