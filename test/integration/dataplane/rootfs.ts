import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";

const CACHE_DIR_DEFAULT = "/var/cache/banyan";
const PACKAGES = ["python3-minimal", "libpython3-stdlib", "procps"];

/** A small Debian, made once: what an image is to a slot. */
export function testRootfs(): string {
  const cacheDir = process.env.BANYAN_TEST_CACHE_DIR ?? CACHE_DIR_DEFAULT;
  const rootfs = join(cacheDir, "dataplane-rootfs");
  if (existsSync(rootfs)) return rootfs;
  mkdirSync(cacheDir, { recursive: true });
  const half = `${rootfs}.${process.pid}`;
  rmSync(half, { recursive: true, force: true });
  const options = ["--variant=minbase", "--format=directory", `--include=${PACKAGES.join(",")}`];
  execFileSync("mmdebstrap", [...options, "--dpkgopt=path-exclude=/usr/share/doc/*", "bookworm", half], { stdio: "ignore" });
  renameSync(half, rootfs);
  return rootfs;
}
