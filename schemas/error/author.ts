import { family, reason } from "./family.ts"

/** A problem in a file that an author wrote: lines and columns count from 1. */
export interface Problem {
  readonly file: string
  readonly line: number
  readonly column: number
  /** Sentence case, no period. */
  readonly message: string
  readonly fix?: string
  /** The line, cut around the mistake, and a second line with a caret under it. */
  readonly excerpt: string
}

const count = (n: number, thing: string): string => `${n} ${thing}${n === 1 ? "" : "s"}`

/** What an author's project, its files or its tools lack. */
export class AuthorError extends family("AuthorError", {
  File: reason<{ readonly file: string; readonly problems: ReadonlyArray<Problem> }>({
    code: "STELE-AUT-0001",
    status: 400,
    exit: 3,
    isRetryable: false,
    message: (d) => `Cannot use "${d.file}": ${count(d.problems.length, "problem")}`,
    fix: (d) => d.problems[0]?.fix ?? "correct the places shown",
  }),
  NoProject: reason<{ readonly folder: string }>({
    code: "STELE-AUT-0002",
    status: 404,
    exit: 4,
    isRetryable: false,
    message: (d) => `Cannot find a plugin's project: neither "${d.folder}" nor a folder above it has a plugin.json`,
    fix: () => "go to the plugin's folder, name it with --project FOLDER, or make one: stele new my-plugin",
  }),
  Toolchain: reason<{ readonly language: string; readonly missing: string; readonly install: string }>({
    code: "STELE-AUT-0003",
    status: 424,
    exit: 69,
    isRetryable: false,
    message: (d) => `Cannot build ${d.language} here: ${d.missing}`,
    fix: (d) => d.install,
  }),
  Build: reason<{ readonly language: string; readonly detail: string }>({
    code: "STELE-AUT-0004",
    status: 422,
    exit: 1,
    isRetryable: false,
    message: (d) => `Cannot build the plugin:\n${d.detail}`,
    fix: () => "correct what the compiler says, then: stele build",
  }),
  Size: reason<{ readonly file: string; readonly limit: number; readonly actual: number }>({
    code: "STELE-AUT-0005",
    status: 413,
    exit: 7,
    isRetryable: false,
    message: (d) => `Cannot read "${d.file}": it has ${d.actual} bytes and the limit is ${d.limit}`,
    fix: () => "make the file smaller, or move what is in it to several files",
  }),
  Missing: reason<{ readonly file: string; readonly what: string }>({
    code: "STELE-AUT-0006",
    status: 404,
    exit: 4,
    isRetryable: false,
    message: (d) => `Cannot find ${d.what}: "${d.file}" is not there`,
    fix: (d) => `make it, or name another in plugin.json (${d.what})`,
  }),
  Template: reason<{ readonly option: string; readonly value: string; readonly expected: string }>({
    code: "STELE-AUT-0007",
    status: 400,
    exit: 2,
    isRetryable: false,
    message: (d) => `Cannot make a project with ${d.option} "${d.value}"`,
    fix: (d) => `give ${d.expected}`,
  }),
  Exists: reason<{ readonly folder: string }>({
    code: "STELE-AUT-0008",
    status: 409,
    exit: 6,
    isRetryable: false,
    message: (d) => `Cannot make a project in "${d.folder}": there is something already`,
    fix: () => "choose another name, or an empty folder; nothing was changed",
  }),
  NoTests: reason<{ readonly folder: string }>({
    code: "STELE-AUT-0009",
    status: 404,
    exit: 4,
    isRetryable: false,
    message: (d) => `Cannot test: "${d.folder}" has no tests/*.json`,
    fix: () => `write tests/first.json: {"tests": [{"call": "NAME", "arguments": [], "result": null}]}`,
  }),
  TestsFailed: reason<{ readonly failed: number; readonly of: number }>({
    code: "STELE-AUT-0010",
    status: 422,
    exit: 1,
    isRetryable: false,
    message: (d) => `${count(d.failed, "test")} of ${d.of} failed`,
    fix: () => "the lines above say what was expected; one test alone: stele test --only NAME",
  }),
  CheckFailed: reason<{ readonly failed: number }>({
    code: "STELE-AUT-0011",
    status: 422,
    exit: 3,
    isRetryable: false,
    message: (d) => `The plugin does not pass: ${count(d.failed, "verdict")} failed`,
    fix: () => "each line above says what to do",
  }),
  NotWorld: reason<{ readonly world: string; readonly difference: string }>({
    code: "STELE-AUT-0012",
    status: 422,
    exit: 3,
    isRetryable: false,
    message: (d) => `The component is not of the world "${d.world}": ${d.difference}`,
    fix: () => "bring the source and the WIT together, then: stele build",
  }),
  Found: reason<{ readonly findings: number }>({
    code: "STELE-AUT-0013",
    status: 422,
    exit: 3,
    isRetryable: false,
    message: (d) => `Calls that nobody wrote down found ${count(d.findings, "failure")}`,
    fix: () => "answer such input with an error of the function's own; keep each finding as a test",
  }),
  NoCalls: reason<{ readonly skipped: ReadonlyArray<string> }>({
    code: "STELE-AUT-0014",
    status: 404,
    exit: 4,
    isRetryable: false,
    message: (d) => (d.skipped.length === 0 ? "Cannot measure: the plugin exports no function" : `Cannot measure: no test calls ${d.skipped.join(", ")}`),
    fix: () => `write a test in tests/, or name a call: stele bench --call 'NAME ARGS'`,
  }),
  Unmeasured: reason<{ readonly failed: number; readonly of: number }>({
    code: "STELE-AUT-0015",
    status: 422,
    exit: 1,
    isRetryable: false,
    message: (d) => `Cannot measure ${d.failed} of ${count(d.of, "call")}: they fail`,
    fix: () => "the lines above say how; stele test tells more",
  }),
  Units: reason<{ readonly detail: string; readonly advice: string }>({
    code: "STELE-AUT-0017",
    status: 422,
    exit: 1,
    isRetryable: false,
    message: (d) => `Cannot read the tests of *.test.ts: ${d.detail}`,
    fix: (d) => d.advice,
  }),
  Foreign: reason<{ readonly folder: string; readonly owner: number }>({
    code: "STELE-AUT-0016",
    status: 403,
    exit: 5,
    isRetryable: false,
    message: (d) => `Cannot use the project "${d.folder}": it belongs to another user (${d.owner})`,
    fix: (d) => `if you trust what its plugin.json makes a build run, name it: --project ${d.folder}`,
  }),
  NoProjects: reason<{ readonly folder: string }>({
    code: "STELE-AUT-0018",
    status: 404,
    exit: 4,
    isRetryable: false,
    message: (d) => `Cannot find projects: no folder in "${d.folder}" has a plugin.json`,
    fix: () => "name the folder that holds them with --project FOLDER",
  }),
}) {}
