/** What the package steps run. Names come checked by the contract's patterns; they are quoted all the same. */

export const shellQuote = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
const words = (names: readonly string[]): string => names.map(shellQuote).join(" ");

/** The lists go again: they would be most of the layer, and are old by the time it is used. */
export function aptScript(names: readonly string[]): string {
  return [
    "export DEBIAN_FRONTEND=noninteractive",
    "apt-get -o Acquire::Retries=3 update",
    `apt-get -o Acquire::Retries=3 install -y --no-install-recommends ${words(names)}`,
    "apt-get clean",
    "rm -rf /var/lib/apt/lists/*",
  ].join("\n");
}

/** Debian marks its Python as its own; in an image of one purpose there is nobody else to disturb. */
export function pipScript(names: readonly string[]): string {
  return [
    "export PIP_BREAK_SYSTEM_PACKAGES=1 PIP_ROOT_USER_ACTION=ignore PIP_DISABLE_PIP_VERSION_CHECK=1",
    `if ! python3 -m pip --version > /dev/null 2>&1; then\n${missing("pip", ["python3", "python3-pip"])}\nfi`,
    `python3 -m pip install --no-cache-dir --no-input ${words(names)}`,
  ].join("\n");
}

/** A step of its own before the first npm step: npm is large, and need not come again with each change of the packages. */
export const npmItselfScript = `if command -v npm > /dev/null; then npm --version; else\n${missing("npm", ["nodejs", "npm"])}\nfi`;

export function npmScript(names: readonly string[]): string {
  return [
    "export NPM_CONFIG_UPDATE_NOTIFIER=false NPM_CONFIG_FUND=false NPM_CONFIG_AUDIT=false",
    `npm install --global ${words(names)}`,
    "npm cache clean --force > /dev/null 2>&1",
  ].join("\n");
}

/** Made as root where it is not there, and given to who works in it. */
export function workdirScript(path: string, user: string | null): string {
  const owned = user === null ? "" : `; chown ${shellQuote(user)} ${shellQuote(path)}`;
  return `if [ ! -d ${shellQuote(path)} ]; then mkdir -p ${shellQuote(path)}${owned}; fi`;
}

function missing(what: string, packages: readonly string[]): string {
  return `echo ${shellQuote(`${what} is not in the base; installing it with apt first`)}\n${aptScript(packages)}`;
}
