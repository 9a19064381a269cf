import { createHash } from "node:crypto";
import { DEFAULT_IMAGE, type ImageConfig } from "@banyan/contracts";

/** What goes into an image that is made from Debian packages. */
export interface Recipe {
  name: string;
  /** The release taken where the host's own archive is Debian's. */
  suite: string;
  /** The same release at a container registry. */
  reference: string;
  packages: readonly string[];
  directories: readonly string[];
  /** Never unpacked: what people read and agents do not. */
  excludedPaths: readonly string[];
  keptPaths: readonly string[];
  config: ImageConfig;
}

/** The image for agents: what they reach for first, and apt for the rest. */
export const defaultRecipe: Recipe = {
  name: DEFAULT_IMAGE,
  suite: "trixie",
  reference: "debian:trixie-slim",
  packages: ["ca-certificates", "curl", "git", "less", "nodejs", "procps", "python3", "python-is-python3", "python3-pip", "python3-venv"],
  directories: ["/workspace"],
  excludedPaths: ["/usr/share/man/*", "/usr/share/info/*", "/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/lintian/*"],
  keptPaths: ["/usr/share/doc/*/copyright"],
  config: {
    env: { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", LANG: "C.UTF-8" },
    workdir: "/workspace",
    user: "root",
    entrypoint: [],
    ready: null,
    resources: {},
  },
};

/** Changes when the finished image would: part of the recipe's key, so that a change of the scripts makes new images. */
const SCRIPTS_VERSION = 1;

/** Two recipes of one key make the same image on machines of one architecture. */
export function recipeKey(recipe: Recipe, architecture: string): string {
  return createHash("sha256")
    .update(JSON.stringify([SCRIPTS_VERSION, architecture, recipe]))
    .digest("hex")
    .slice(0, 32);
}

/** What dpkg reads before it unpacks: order counts, the last match wins. */
export function dpkgOptions(recipe: Recipe): string[] {
  return [...recipe.excludedPaths.map((path) => `path-exclude=${path}`), ...recipe.keptPaths.map((path) => `path-include=${path}`)];
}

/** Runs inside the new root at the end: what only building needed goes, what every sandbox needs is made. */
export function finishScript(recipe: Recipe): string {
  return [
    "apt-get clean",
    "rm -rf /var/lib/apt/lists/* /var/cache/* /var/log/* /tmp/* /var/tmp/* /etc/apt/apt.conf.d/99mmdebstrap",
    "mkdir -p /var/cache/apt/archives/partial /var/lib/apt/lists/partial",
    "find / -xdev -name __pycache__ -path '*/dist-packages/*' -prune -exec rm -rf {} +",
    // In a container the last two are mounts, which cannot be removed and are not exported.
    "rm -f /etc/machine-id /etc/hostname /etc/resolv.conf 2> /dev/null || :",
    ...recipe.directories.map((directory) => `mkdir -p ${directory}`),
  ].join("\n");
}
