/** One source of apt, whichever of the two formats it was written in. */
export interface AptSource {
  uri: string;
  suites: string[];
  components: string[];
}

/** What a local build takes its packages from. */
export interface Archive {
  suite: string;
  /** Lines in the one-line format of sources.list, for the build and for the image itself. */
  sources: string[];
}

interface Distribution {
  keyring: string;
  components: string;
}

const DEBIAN: Distribution = { keyring: "/usr/share/keyrings/debian-archive-keyring.gpg", components: "main" };
const UBUNTU: Distribution = { keyring: "/usr/share/keyrings/ubuntu-archive-keyring.gpg", components: "main universe" };

/**
 * On Debian the wanted release, on Ubuntu the host's own, since its keys are the ones at hand; either from where this host has its packages
 * itself. Null where it has none: then a local build has nothing to build from.
 */
export function chooseArchive(host: { osRelease: string; sources: readonly AptSource[] }, wantedSuite: string): Archive | null {
  const isUbuntu = osField(host.osRelease, "ID") === "ubuntu";
  const { keyring, components } = isUbuntu ? UBUNTU : DEBIAN;
  const hostSuite = osField(host.osRelease, "VERSION_CODENAME");
  const suite = isUbuntu ? hostSuite : wantedSuite;
  const uriOf = (pocket: string) =>
    host.sources.find(({ suites, components }) => suites.includes(`${hostSuite}${pocket}`) && components.includes("main"))?.uri;
  const uri = uriOf("");
  const securityUri = uriOf("-security");
  if (uri === undefined) return null;
  const line = (from: string, pocket: string) => `deb [signed-by=${keyring}] ${from} ${suite}${pocket} ${components}`;
  const security = securityUri === undefined ? [] : [line(securityUri, "-security")];
  return { suite, sources: [line(uri, ""), line(uri, "-updates"), ...security] };
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
