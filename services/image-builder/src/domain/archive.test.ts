import { expect, it } from "vitest";
import { chooseArchive, parseDeb822Sources, parseOneLineSources } from "./archive.ts";

const DEBIAN = 'PRETTY_NAME="Debian"\nID=debian\nVERSION_CODENAME=bookworm\n';
const UBUNTU = "ID=ubuntu\nVERSION_CODENAME=noble\n";

it("reads one-line sources, options and comments included", () => {
  const text =
    "# deb http://a b c\ndeb [arch=amd64 signed-by=/k.gpg] http://mirror/debian bookworm main contrib # near\ndeb-src http://mirror/debian bookworm main\n\n";
  expect(parseOneLineSources(text)).toEqual([{ uri: "http://mirror/debian", suites: ["bookworm"], components: ["main", "contrib"] }]);
});

it("reads deb822 sources, several suites and disabled paragraphs included", () => {
  const text = [
    "Types: deb",
    "# a comment",
    "URIs: http://mirror/debian",
    "Suites: bookworm bookworm-updates",
    "Components: main",
    "Signed-By:",
    " -----BEGIN PGP PUBLIC KEY BLOCK-----",
    " .",
    "",
    "Enabled: no",
    "Types: deb",
    "URIs: http://off",
    "Suites: x",
    "",
    "Types: deb-src",
    "URIs: http://sources",
    "Suites: y",
  ].join("\n");
  expect(parseDeb822Sources(text)).toEqual([
    { uri: "http://mirror/debian", suites: ["bookworm", "bookworm-updates"], components: ["main"] },
  ]);
});

it("takes the wanted release from the mirror a Debian host uses", () => {
  const sources = [
    { uri: "http://third.party/apt", suites: ["bookworm"], components: ["stable"] },
    { uri: "http://mirror.internal/debian", suites: ["bookworm", "bookworm-updates"], components: ["main"] },
    { uri: "http://mirror.internal/security", suites: ["bookworm-security"], components: ["main"] },
  ];
  const archive = chooseArchive({ osRelease: DEBIAN, sources }, "trixie");
  expect(archive?.suite).toBe("trixie");
  expect(archive?.sources.map((line) => line.replace(/\[.*\] /, ""))).toEqual([
    "deb http://mirror.internal/debian trixie main",
    "deb http://mirror.internal/debian trixie-updates main",
    "deb http://mirror.internal/security trixie-security main",
  ]);
});

it("takes an Ubuntu host's own release, whose keys it has", () => {
  const sources = [{ uri: "http://mirror.internal/ubuntu", suites: ["noble"], components: ["main", "universe"] }];
  const archive = chooseArchive({ osRelease: UBUNTU, sources }, "trixie");
  expect(archive?.suite).toBe("noble");
  expect(archive?.sources[0]).toMatch(/^deb \[signed-by=.*ubuntu.*\] http:\/\/mirror\.internal\/ubuntu noble main universe$/);
});

it("has nothing to build from where the host itself has no packages", () => {
  expect(chooseArchive({ osRelease: DEBIAN, sources: [] }, "trixie")).toBeNull();
});
