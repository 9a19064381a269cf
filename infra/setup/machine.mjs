import { spawnSync } from "node:child_process";
import { accessSync, constants, existsSync, readdirSync, readFileSync } from "node:fs";
import { request } from "node:http";
import { release } from "node:os";
import { join } from "node:path";
import { Refusal } from "./report.mjs";

const NODE_MAJOR_MIN = 20;
/** Of the calls that attach makes the youngest is `openat2`, of those that Debian and Ubuntu still maintain this is the oldest kernel. */
const KERNEL_MIN = [5, 10];
const ARCHITECTURES = ["x64", "arm64"];
const DOCKER_SOCKET = "/var/run/docker.sock";
const DOCKER_PING_MS = 2_000;
const SYSTEM_PATHS = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/** Refuses with one sentence where Banyan cannot run. Costs no process unless something is amiss. */
export function checkMachine() {
  const nodeMajor = Number(process.versions.node.split(".")[0]);
  if (nodeMajor < NODE_MAJOR_MIN)
    throw new Refusal(`Node ${process.versions.node} is too old.`, `Install Node ${NODE_MAJOR_MIN} or newer.`);
  if (process.platform !== "linux") {
    throw new Refusal(`Banyan needs Linux; this is ${process.platform}.`, "Run it in a Debian or Ubuntu virtual machine.");
  }
  if (!ARCHITECTURES.includes(process.arch)) {
    throw new Refusal(`The architecture ${process.arch} is not supported.`, "Use a machine with x86-64 or arm64.");
  }
  if (process.geteuid?.() !== 0) {
    throw new Refusal("Banyan must run as root: it mounts filesystems and sets up networks for its sandboxes.", "Run `sudo npm start`.");
  }
  checkKernel();
}

function checkKernel() {
  const [major = 0, minor = 0] = release().split(".").map(Number);
  const [majorMin, minorMin] = KERNEL_MIN;
  if (major < majorMin || (major === majorMin && minor < minorMin)) {
    throw new Refusal(
      `The kernel ${release()} is too old: Banyan needs ${KERNEL_MIN.join(".")} or newer.`,
      "Upgrade the system; Debian 11 and Ubuntu 22.04 have newer ones.",
    );
  }
  if (!hasFilesystem("overlay")) {
    throw new Refusal("The kernel has no overlay filesystem.", "Load it with `modprobe overlay`, or use a kernel that has it.");
  }
  if (!existsSync("/sys/fs/cgroup") || readdirSync("/sys/fs/cgroup").length === 0) {
    throw new Refusal("No control groups are mounted at /sys/fs/cgroup.", "Boot with systemd, or mount them (package cgroupfs-mount).");
  }
}

/** @param {string} name */
function hasFilesystem(name) {
  const known = () =>
    readFileSync("/proc/filesystems", "utf8")
      .split("\n")
      .some((line) => line.split("\t").at(-1) === name);
  if (known()) return true;
  spawnSync("modprobe", [name], { stdio: "ignore" });
  return known();
}

/**
 * The full path of a program, also where root's PATH lacks the sbin directories.
 * @param {string} name
 * @returns {string | null}
 */
export function findProgram(name) {
  const directories = [...(process.env.PATH ?? "").split(":"), ...SYSTEM_PATHS];
  for (const directory of directories) {
    if (directory === "") continue;
    const path = join(directory, name);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch (error) {
      if (!["ENOENT", "ENOTDIR", "EACCES"].includes(/** @type {NodeJS.ErrnoException} */ (error).code ?? "")) throw error;
    }
  }
  return null;
}

/** Postgres' server programs are not on PATH on Debian. */
export function hasPostgres() {
  if (findProgram("postgres") !== null) return true;
  const versions = "/usr/lib/postgresql";
  return existsSync(versions) && readdirSync(versions).some((version) => existsSync(join(versions, version, "bin/postgres")));
}

/**
 * Whether an engine is there to be used. A configured one that is silent is a refusal: silently using another would surprise.
 * @returns {Promise<boolean>}
 */
export async function dockerAnswers() {
  const configured = process.env.DOCKER_HOST;
  if (configured === undefined || configured === "") return existsSync(DOCKER_SOCKET) && (await ping({ socketPath: DOCKER_SOCKET }));
  const url = new URL(configured);
  const target = url.protocol === "unix:" ? { socketPath: url.pathname } : { host: url.hostname, port: Number(url.port) };
  if (await ping(target)) return true;
  throw new Refusal(
    `No Docker Engine answers at DOCKER_HOST=${configured}.`,
    "Start it, correct DOCKER_HOST, or unset it: then Banyan runs a Docker Engine of its own.",
  );
}

/** @param {{ socketPath: string } | { host: string, port: number }} target */
function ping(target) {
  return new Promise((resolve) => {
    const ask = request({ ...target, path: "/_ping", timeout: DOCKER_PING_MS }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    ask.once("timeout", () => ask.destroy());
    ask.once("error", () => resolve(false));
    ask.end();
  });
}
