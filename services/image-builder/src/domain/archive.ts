/** One source of apt, whichever of the two formats it was written in. */
export interface AptSource {
  uri: string;
  suites: string[];
  components: string[];
}

/** What a local build takes its packages from. */
export interface Archive {
  suite: string;
  /** Lines in the one-line format of sources.list. */
  sources: string[];
  /** What the image itself holds as sources: public addresses, since a sandbox reaches no private ones. */
  publicSources: string[];
}

interface Distribution {
  keyring: string;
  publicUri: string;
  publicSecurityUri: string;
  components: string;
}

const DEBIAN: Distribution = {
  keyring: "/usr/share/keyrings/debian-archive-keyring.gpg",
  publicUri: "http://deb.debian.org/debian",
  publicSecurityUri: "http://deb.debian.org/debian-security",
  components: "main",
};
const UBUNTU: Distribution = {
  keyring: "/usr/share/keyrings/ubuntu-archive-keyring.gpg",
  publicUri: "http://archive.ubuntu.com/ubuntu",
  publicSecurityUri: "http://security.ubuntu.com/ubuntu",
  components: "main universe",
};
const UBUNTU_PORTS: Distribution = {
  ...UBUNTU,
  publicUri: "http://ports.ubuntu.com/ubuntu-ports",
  publicSecurityUri: "http://ports.ubuntu.com/ubuntu-ports",
};

/**
 * On Debian the wanted release, from the mirror this host uses itself; on Ubuntu the host's own release, since its keys are the ones at hand.
 * Elsewhere Debian's public archive.
 */
export function chooseArchive(
  host: { osRelease: string; sources: readonly AptSource[]; architecture: string },
  wantedSuite: string,
): Archive {
  const isUbuntu = osField(host.osRelease, "ID") === "ubuntu";
  const distribution = !isUbuntu ? DEBIAN : host.architecture === "x64" ? UBUNTU : UBUNTU_PORTS;
  const hostSuite = osField(host.osRelease, "VERSION_CODENAME");
  const suite = isUbuntu ? hostSuite : wantedSuite;
  const uriOf = (pocket: string) =>
    host.sources.find(({ suites, components }) => suites.includes(`${hostSuite}${pocket}`) && components.includes("main"))?.uri;
  const lines = (uri: string, securityUri: string, options: string) => [
    `deb ${options}${uri} ${suite} ${distribution.components}`,
    `deb ${options}${uri} ${suite}-updates ${distribution.components}`,
    `deb ${options}${securityUri} ${suite}-security ${distribution.components}`,
  ];
  const uri = uriOf("") ?? distribution.publicUri;
  const signed = `[signed-by=${distribution.keyring}] `;
  return {
    suite,
    sources: lines(uri, uriOf("-security") ?? distribution.publicSecurityUri, signed),
    publicSources: lines(distribution.publicUri, distribution.publicSecurityUri, signed),
  };
}

function osField(osRelease: string, name: string): string {
  const line = osRelease.split("\n").find((entry) => entry.startsWith(`${name}=`));
  return (
    line
      ?.slice(name.length + 1)
      .replaceAll('"', "")
      .trim() ?? ""
  );
}

/** `deb [options] uri suite component…`, one a line. */
export function parseOneLineSources(text: string): AptSource[] {
  return text.split("\n").flatMap((line) => {
    const words = line
      .replace(/#.*/, "")
      .replace(/\[[^\]]*\]/, " ")
      .trim()
      .split(/\s+/);
    const [type, uri, suite, ...components] = words;
    return type === "deb" && uri !== undefined && suite !== undefined ? [{ uri, suites: [suite], components }] : [];
  });
}

/** Paragraphs of `Field: value`, as in *.sources. */
export function parseDeb822Sources(text: string): AptSource[] {
  const paragraphs = text.replace(/^#.*\n?/gm, "").split(/\n\s*\n/);
  return paragraphs.flatMap((paragraph) => {
    const fields = new Map(
      [...paragraph.matchAll(/^([A-Za-z-]+):\s*(.*(?:\n[ \t].*)*)/gm)].map(([, name = "", value = ""]) => [
        name.toLowerCase(),
        value.trim().split(/\s+/),
      ]),
    );
    const off = fields.get("enabled")?.[0] === "no" || !(fields.get("types") ?? []).includes("deb");
    const suites = fields.get("suites") ?? [];
    return off ? [] : (fields.get("uris") ?? []).map((uri) => ({ uri, suites, components: fields.get("components") ?? [] }));
  });
}
