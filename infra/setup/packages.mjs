import { chmodSync, copyFileSync, existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { findProgram, hasPostgres } from "./machine.mjs";
import { Refusal } from "./report.mjs";

const POLICY = "/usr/sbin/policy-rc.d";
const POLICY_KEPT = "/usr/sbin/policy-rc.d.before-banyan";
const CLUSTER_CONFIG = "/etc/postgresql-common/createcluster.conf";
const CLUSTER_CONFIG_KEPT = "/etc/postgresql-common/createcluster.conf.before-banyan";
const APT_OPTIONS = [
  "-y",
  "-q",
  "--no-install-recommends",
  "-o",
  "DPkg::Lock::Timeout=300",
  "-o",
  "Acquire::Retries=3",
  "-o",
  "Dpkg::Options::=--force-confold",
];
const APT_ENV = { DEBIAN_FRONTEND: "noninteractive" };

/** What must be there, by which sign it is known, and which packages bring it. */
const TOOLS = [
  {
    packages: ["docker.io"],
    present: () => findProgram("dockerd") !== null,
    unless: "docker",
    units: ["docker.service", "docker.socket", "containerd.service"],
  },
  { packages: ["nats-server"], present: () => findProgram("nats-server") !== null, unless: "nats", units: ["nats-server.service"] },
  { packages: ["postgresql"], present: hasPostgres, unless: "postgres", units: ["postgresql.service"] },
  { packages: ["musl-tools", "gcc", "libc6-dev"], present: hasCompiler },
  { packages: ["make"], present: () => findProgram("make") !== null },
  { packages: ["iproute2"], present: () => findProgram("ip") !== null },
  { packages: ["nftables"], present: () => findProgram("nft") !== null },
  { packages: ["iptables"], present: () => findProgram("iptables") !== null },
  { packages: ["btrfs-progs"], present: () => findProgram("mkfs.btrfs") !== null },
  { packages: ["mmdebstrap"], present: () => findProgram("mmdebstrap") !== null },
  { packages: ["zstd"], present: () => findProgram("zstd") !== null },
  { packages: ["tar"], present: () => findProgram("tar") !== null },
];
/** Without the C library's headers gcc is there and of no use. */
function hasCompiler() {
  return findProgram("musl-gcc") !== null && findProgram("gcc") !== null && existsSync("/usr/include/stdio.h");
}

/** What only the tests look at the machine with, and what they build from. */
const TEST_TOOLS = [
  { packages: ["procps"], present: () => findProgram("pgrep") !== null && findProgram("kill") !== null },
  { packages: ["python3"], present: () => findProgram("python3") !== null },
  { packages: ["xfsprogs"], present: () => findProgram("mkfs.xfs") !== null },
  { packages: ["docker-registry"], present: () => findProgram("docker-registry") !== null, units: ["docker-registry.service"] },
  { packages: ["rclone", "fuse3"], present: () => findProgram("rclone") !== null && findProgram("fusermount3") !== null },
  {
    packages: ["glusterfs-server", "glusterfs-client"],
    present: () => findProgram("glusterfsd") !== null && findProgram("glusterfs") !== null,
    units: ["glusterd.service"],
  },
];

/**
 * Installs what is missing with apt-get. `configured` names what the user brings by URL and need not be installed.
 * @param {import("./report.mjs").Report} report
 * @param {{ docker: boolean, nats: boolean, postgres: boolean }} configured
 * @param {boolean} forTests
 */
export async function installPackages(report, configured, forTests) {
  restoreAfterKill();
  const wanted = forTests ? [...TOOLS, ...TEST_TOOLS] : TOOLS;
  const missing = wanted.filter((tool) => !(tool.unless !== undefined && configured[tool.unless]) && !tool.present());
  if (missing.length === 0) return;
  const packages = missing.flatMap((tool) => tool.packages);
  if (findProgram("apt-get") === null) {
    throw new Refusal(
      `${packages.join(", ")} ${packages.length === 1 ? "is" : "are"} missing, and ${systemName()} has no apt-get to install them with.`,
      "Install them with this system's own package manager and start again, or use Debian or Ubuntu.",
    );
  }
  if (interruptedInstallation()) {
    await report.step("Finishing an interrupted package installation", () => report.run("dpkg", ["--configure", "-a"], { env: APT_ENV }));
  }
  await report.step("Reading the package lists", () => readLists(report));
  await report.step(`Installing ${packages.join(", ")}`, () => withoutServices(() => install(report, packages)));
  await disableUnits(
    report,
    missing.flatMap((tool) => tool.units ?? []),
  );
  const still = missing.filter((tool) => !tool.present()).flatMap((tool) => tool.packages);
  if (still.length > 0) throw new Refusal(`${still.join(", ")} did not install what Banyan needs.`, `See ${report.logPath}.`);
}

/** A third-party source that is down must not stop the set-up: what counts is whether the installation succeeds. @param {import("./report.mjs").Report} report */
async function readLists(report) {
  try {
    await report.run("apt-get", ["update", "-q"], { env: APT_ENV });
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    report.note(`apt-get update failed; going on with the lists there are: ${error.message}`);
  }
}

/** @param {import("./report.mjs").Report} report @param {string[]} packages */
async function install(report, packages) {
  const advice = `Check the network and /etc/apt/sources.list; the whole output is in ${report.logPath}.`;
  const apt = (names) => report.run("apt-get", ["install", ...APT_OPTIONS, ...names], { env: APT_ENV, advice });
  if (!packages.includes("postgresql")) return apt(packages);
  // The postgresql package makes and registers a cluster of its own unless told not to; Banyan's lives in its data directory.
  await apt(["postgresql-common"]);
  copyFileSync(CLUSTER_CONFIG, CLUSTER_CONFIG_KEPT);
  try {
    writeFileSync(CLUSTER_CONFIG, `${readFileSync(CLUSTER_CONFIG, "utf8")}\ncreate_main_cluster = false\n`);
    await apt(packages);
  } finally {
    renameSync(CLUSTER_CONFIG_KEPT, CLUSTER_CONFIG);
  }
}

/** Packages start their services on installation; a policy file is Debian's way to say no. @param {() => Promise<void>} work */
async function withoutServices(work) {
  if (existsSync(POLICY)) renameSync(POLICY, POLICY_KEPT);
  writeFileSync(POLICY, "#!/bin/sh\n# Made by Banyan's set-up for the time of an installation.\nexit 101\n");
  chmodSync(POLICY, 0o755);
  try {
    await work();
  } finally {
    rmSync(POLICY);
    if (existsSync(POLICY_KEPT)) renameSync(POLICY_KEPT, POLICY);
  }
}

/** What a set-up that was killed in the middle of an installation has left. */
function restoreAfterKill() {
  if (existsSync(POLICY_KEPT)) renameSync(POLICY_KEPT, POLICY);
  else if (existsSync(POLICY) && readFileSync(POLICY, "utf8").includes("Made by Banyan's set-up")) rmSync(POLICY);
  if (existsSync(CLUSTER_CONFIG_KEPT)) renameSync(CLUSTER_CONFIG_KEPT, CLUSTER_CONFIG);
}

/** Installed for Banyan, so not to be started with the machine either. @param {import("./report.mjs").Report} report @param {string[]} units */
async function disableUnits(report, units) {
  if (units.length === 0 || !existsSync("/run/systemd/system")) return;
  await report.run("systemctl", ["disable", "--quiet", ...units]);
}

const interruptedInstallation = () =>
  existsSync("/var/lib/dpkg/updates") && readdirSync("/var/lib/dpkg/updates").some((name) => /^\d+$/.test(name));

function systemName() {
  if (!existsSync("/etc/os-release")) return "this system";
  const line = readFileSync("/etc/os-release", "utf8")
    .split("\n")
    .find((entry) => entry.startsWith("PRETTY_NAME="));
  return line === undefined ? "this system" : line.slice("PRETTY_NAME=".length).replaceAll('"', "");
}
