import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync, realpathSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { dirname, join } from "node:path";
import { COMPOSE_ENV, ensureComposeEnv } from "./compose-env.mjs";
import { checkMachine, dockerAnswers, findProgram } from "./machine.mjs";
import { openReport, Refusal, runCommand } from "./report.mjs";
import { ROOT } from "./workspace.mjs";

const BASE_PACKAGES = ["ca-certificates", "nats-server", "nodejs", "postgresql", "util-linux"];
/** npm's own package in Debian is four hundred; the one this runs with will do. */
const NPM = dirname(dirname(realpathSync(findProgram("npm") ?? process.execPath)));
const BASE_SCRIPT = [
  "mmdebstrap --mode=root --variant=minbase --format=tar --skip=output/dev,output/mknod",
  `--include=${BASE_PACKAGES.join(",")}`,
  `--aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Retries "3"'`,
  // What this host trusts, the image build must trust too: it fetches through the same network.
  "--customize-hook='copy-in /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/'",
  `--customize-hook='mkdir -p "$1/usr/local/lib" && cp -a ${NPM} "$1/usr/local/lib/npm" && ln -s ../lib/npm/bin/npm-cli.js "$1/usr/local/bin/npm"'`,
  "trixie -",
].join(" ");
const BASE_TAG = createHash("sha256").update(BASE_SCRIPT).digest("hex").slice(0, 12);
const BASE_REPOSITORY = "banyan-base";
const BASE_IMAGE = `${BASE_REPOSITORY}:${BASE_TAG}`;

/** `node infra/setup/compose-local.mjs [up|down|…]`: docker-compose.yml where no registry answers, on a base made here from Debian packages. */
await runCommand(async () => {
  checkMachine();
  const report = openReport(join(ROOT, ".banyan/log/compose.log"));
  try {
    if (!(await dockerAnswers())) throw new Refusal("No Docker Engine answers.", "Start one, or name it by DOCKER_HOST.");
    const compose = findCompose();
    ensureComposeEnv();
    await makeBase(report);
    const args = process.argv.length > 2 ? process.argv.slice(2) : ["up", "--build", "--detach"];
    return await runCompose(compose, args);
  } finally {
    report.close();
  }
});

/** @returns {string[]} */
function findCompose() {
  const standalone = findProgram("docker-compose");
  if (standalone !== null) return [standalone];
  const docker = findProgram("docker");
  if (docker !== null) return [docker, "compose"];
  throw new Refusal("Docker Compose is not installed.", "`apt-get install docker-compose`.");
}

/** @param {import("./report.mjs").Report} report */
async function makeBase(report) {
  if ((await call("GET", `/images/${BASE_IMAGE}/json`)) === 200) return;
  await report.step("Making the base image from Debian packages", async () => {
    const query = new URLSearchParams({ fromSrc: "-", repo: BASE_REPOSITORY, tag: BASE_TAG });
    const status = await call("POST", `/images/create?${query}`, BASE_SCRIPT);
    if (status !== 200)
      throw new Refusal(`The Docker Engine answered ${status} to the import of the base image.`, `See ${report.logPath}.`);
  });
}

/**
 * A call to the engine; with `script` its output is the body.
 * @param {string} method @param {string} path @param {string} [script] @returns {Promise<number>}
 */
function call(method, path, script) {
  const { socketPath, host, port } = engine();
  return new Promise((resolve, reject) => {
    const ask = request(
      { socketPath, host, port, method, path, headers: script ? { "content-type": "application/x-tar" } : {} },
      (response) => {
        response.resume();
        response.once("end", () => resolve(response.statusCode ?? 0));
      },
    );
    ask.once("error", reject);
    if (script === undefined) return ask.end();
    const child = spawn("/bin/sh", ["-c", script], { stdio: ["ignore", "pipe", "ignore"] });
    child.stdout.pipe(ask);
    child.once("exit", (code) => code === 0 || ask.destroy(new Error(`mmdebstrap ended with ${code}`)));
  });
}

function engine() {
  const url = new URL(process.env.DOCKER_HOST || "unix:///var/run/docker.sock");
  return url.protocol === "unix:" ? { socketPath: url.pathname } : { host: url.hostname, port: url.port };
}

/** @param {string} program */
function isCompose1(program) {
  return spawnSync(program, ["version", "--short"], { encoding: "utf8" }).stdout.startsWith("1.");
}

/** Debian 12 has Compose 1, which refuses the key `cgroup`. It matters on control groups v2 only. */
function withoutCgroupKey() {
  const path = join(ROOT, ".banyan/docker-compose.v1.yml");
  writeFileSync(path, readFileSync(join(ROOT, "docker-compose.yml"), "utf8").replaceAll("  cgroup: host\n", ""));
  return path;
}

/** @param {string[]} compose @param {string[]} args @returns {Promise<number>} */
function runCompose([program = "", ...first], args) {
  const main = program.endsWith("docker-compose") && isCompose1(program) ? withoutCgroupKey() : "docker-compose.yml";
  const files = ["--project-directory", ROOT, "--file", main, "--file", "infra/docker/compose.local.yml", "--env-file", COMPOSE_ENV];
  const { socketPath } = engine();
  const env = {
    ...process.env,
    BASE_IMAGE,
    NATS_IMAGE: BASE_IMAGE,
    POSTGRES_IMAGE: BASE_IMAGE,
    BANYAN_IMAGE_REGISTRY: "off",
    // The classic builder asks no registry for a base that is here.
    DOCKER_BUILDKIT: "0",
    ...(socketPath !== undefined && { DOCKER_SOCKET: socketPath }),
  };
  return new Promise((resolve, reject) => {
    const child = spawn(program, [...first, ...files, ...args], { cwd: ROOT, env, stdio: "inherit" });
    child.once("error", reject);
    child.once("exit", (code) => resolve(code ?? 1));
  });
}
