import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Refusal } from "./report.mjs";

export const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

/** Not 11: it refuses Node 20. */
const PNPM_VERSION = "10.34.8";
const TOOLS_DIR = join(ROOT, ".banyan/tools");
const PNPM = join(TOOLS_DIR, "node_modules/pnpm/bin/pnpm.cjs");
const STAMP = join(ROOT, "node_modules/.banyan-installed");
const NATIVE = join(ROOT, "packages/runtime/native");
const NATIVE_STAMP = join(NATIVE, "build/.banyan-built");
const NETWORK_ADVICE = "Check that the npm registry can be reached (`npm ping`) and start again.";

/** The one Node every service runs on: a dependency of the workspace, so that all machines have the same. */
export const NODE_24 = join(ROOT, `node_modules/node-linux-${process.arch}/bin/node`);

/** @param {import("./report.mjs").Report} report */
export async function installDependencies(report) {
  const fingerprint = fingerprintOfManifests();
  if (existsSync(STAMP) && readFileSync(STAMP, "utf8") === fingerprint && existsSync(NODE_24)) return;
  await installPnpm(report);
  await report.step("Installing the dependencies", () =>
    report.run(process.execPath, [PNPM, "install", "--frozen-lockfile", "--prod=false"], {
      cwd: ROOT,
      env: { CI: "true" },
      advice: NETWORK_ADVICE,
    }),
  );
  if (!existsSync(NODE_24)) {
    throw new Refusal(
      `The dependencies hold no Node for ${process.arch}.`,
      "Optional dependencies must not be switched off (`pnpm config get optional`).",
    );
  }
  writeFileSync(STAMP, fingerprint);
}

/** @param {import("./report.mjs").Report} report */
async function installPnpm(report) {
  const manifest = join(TOOLS_DIR, "node_modules/pnpm/package.json");
  if (existsSync(manifest) && JSON.parse(readFileSync(manifest, "utf8")).version === PNPM_VERSION) return;
  mkdirSync(TOOLS_DIR, { recursive: true });
  // A manifest of its own: without it npm would take the workspace's and install that.
  writeFileSync(join(TOOLS_DIR, "package.json"), '{ "private": true }\n');
  await report.step(`Installing pnpm ${PNPM_VERSION}`, () =>
    report.run("npm", ["install", "--prefix", TOOLS_DIR, "--no-audit", "--no-fund", `pnpm@${PNPM_VERSION}`], {
      cwd: TOOLS_DIR,
      advice: NETWORK_ADVICE,
    }),
  );
}

/** Builds `init` and `attach` the way the runner would at its start, so that its start is quick. @param {import("./report.mjs").Report} report */
export async function buildNative(report) {
  const fingerprint = hashFiles(readdirSync(NATIVE, { recursive: true, withFileTypes: true }).filter(isSource).map(pathOf).sort());
  if (existsSync(NATIVE_STAMP) && readFileSync(NATIVE_STAMP, "utf8") === fingerprint) return;
  const build = 'import { buildNative } from "./packages/runtime/src/native/build.ts"; await buildNative();';
  await report.step("Building the native part", () =>
    report.run(NODE_24, ["--input-type=module", "--eval", build], {
      cwd: ROOT,
    }),
  );
  writeFileSync(NATIVE_STAMP, fingerprint);
}

/** @param {import("node:fs").Dirent} entry */
const isSource = (entry) => entry.isFile() && (/\.[ch]$/.test(entry.name) || entry.name === "Makefile");

/** @param {import("node:fs").Dirent} entry */
const pathOf = (entry) => join(entry.parentPath ?? entry.path, entry.name);

/** Everything that decides what `pnpm install` would do. */
function fingerprintOfManifests() {
  const manifests = ["packages", "services"].flatMap((folder) =>
    readdirSync(join(ROOT, folder)).map((name) => join(ROOT, folder, name, "package.json")),
  );
  const files = ["package.json", "pnpm-lock.yaml", "pnpm-workspace.yaml", "test/package.json"].map((name) => join(ROOT, name));
  return hashFiles([...files, ...manifests.sort()].filter((file) => existsSync(file)));
}

/** @param {string[]} files */
function hashFiles(files) {
  const hash = createHash("sha256").update(`${PNPM_VERSION} ${process.arch}\n`);
  for (const file of files) hash.update(`${file}\n`).update(readFileSync(file));
  return hash.digest("hex");
}
