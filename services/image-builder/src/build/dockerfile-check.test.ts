import { expect, it } from "vitest";
import { problemOf } from "./dockerfile-check.ts";

const check = (text: string) => problemOf(text, { hasContext: true });

it("finds nothing wrong with an ordinary one", () => {
  const text = `# a comment
ARG TAG=1
from debian:\${TAG} as build
RUN apt-get update && \\
    apt-get install -y jq
COPY --chown=1000 ["a b", "./src/", "/app/"]
COPY /absolute/is/of/the/context /x
COPY --from=build ../anything /x
RUN cat <<< word && echo --mount=x
HEALTHCHECK NONE
CMD ["a"]
`;
  expect(check(text)).toBeNull();
});

it.each([
  ["", /no FROM/],
  ["# only a comment\n", /no FROM/],
  ["ARG X=1\n", /no FROM/],
  ["RUN ls\nFROM a", /line 1: RUN comes before the first FROM/],
  ["FROM a\n\nFETCH x\n", /line 3: unknown instruction: FETCH/],
  ["FROM a\nRUN\n", /line 2: RUN says nothing/],
  ["FROM a\nCOPY ../secret /x", /line 2: COPY leads out of the context: \.\.\/secret/],
  ["FROM a\nADD a/../../b c /x/", /leads out of the context/],
  ['FROM a\nCOPY ["..", "/x"]', /leads out of the context/],
  ["FROM a\nONBUILD COPY ../a /x", /leads out of the context/],
  ["FROM a\nADD http://192.168.0.1/x /x", /remote file is refused/],
  ["FROM a\nADD git@host:repo.git /x", /remote file is refused/],
  ["FROM a\nRUN --mount=type=cache,target=/x true", /--mount=type=cache,target=\/x needs BuildKit/],
  ["FROM a\nRUN <<EOF\necho\nEOF", /here-document needs BuildKit/],
])("refuses %j", (text, problem) => {
  expect(check(text)).toMatch(problem);
});

it("wants a context where files are taken from one", () => {
  expect(problemOf("FROM a\nCOPY x /x", { hasContext: false })).toMatch(/needs a `context`/);
  expect(problemOf("FROM a\nCOPY --from=b x /x", { hasContext: false })).toBeNull();
});
