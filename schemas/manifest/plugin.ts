/**
 * `plugin.json`: what an author says of his plugin, and what a reader, a host and a registry take from it. One schema, from
 * which the JSON Schema beside each manifest is derived, so that an editor and `stele check` agree.
 */
import * as Schema from "effect/Schema"
import { limits } from "../error/limit.ts"
import { described, line, pattern, schemaKey } from "./described.ts"

/** The languages that `stele new` has templates for, and `other`, where `build` makes the component. */
export const languages = ["assemblyscript", "typescript", "rust", "go", "python", "c", "other"] as const
export type Language = (typeof languages)[number]
/** What people call them. */
export const languageNames: Readonly<Record<Language, string>> = {
  assemblyscript: "AssemblyScript",
  typescript: "TypeScript",
  rust: "Rust",
  go: "Go",
  python: "Python",
  c: "C",
  other: "another language",
}

/** Kebab-case, as a WIT package's name; at most 64 characters. */
export const namePattern = /^(?=.{1,64}$)[a-z][a-z0-9]*(?:-[a-z0-9]+)*$/u
const versionPattern = /^(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)(?:-[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?$/u
/** Inside the project: no drive, no root, no step upwards, no backslash. */
const pathPattern = /^(?!\/)(?![A-Za-z]:)(?!(?:.*\/)?\.\.(?:\/|$))[^\\\0]{1,1024}$/u

const path = (description: string) => pattern(pathPattern, "a path inside the project, with / between its parts", description)

const Capability = described(
  Schema.Struct({
    grant: line(1024, "What is asked for, as a grant: log, kv:read:prices/*, http:GET:https://api.example.com/*"),
    reason: line(500, "Why, in a sentence: whoever installs the plugin reads it"),
  }),
  "One thing that the plugin asks to be allowed",
)

const Build = described(
  Schema.Struct({
    command: described(
      Schema.Array(Schema.String).pipe(Schema.check(Schema.isBetweenLength(1, 64, { expected: "1 to 64 words" }))),
      "The program that makes it and its arguments, run in the project's folder without a shell",
    ),
    output: path("The core module or component that it leaves"),
  }),
  'For the language "other", or where the usual build of a language does not serve',
)

const limitFields = Object.fromEntries(
  Object.entries(limits).map(([name, { unit, default: usual }]) => [
    name,
    Schema.optionalKey(
      described(
        Schema.Int.pipe(Schema.check(Schema.isBetween({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }, { expected: `a whole number of ${unit}` }))),
        `In ${unit}; a host's default is ${usual}`,
      ),
    ),
  ]),
)

export const Manifest = Schema.Struct({
  $schema: schemaKey,
  name: pattern(namePattern, "words of small letters and digits with - between them, at most 64 characters", "What the plugin is called"),
  version: pattern(versionPattern, "a semantic version such as 1.2.3", "Its version"),
  description: line(200, "What it does, in a sentence"),
  license: line(200, "An SPDX expression, such as Apache-2.0 OR MIT"),
  language: described(Schema.Literals(languages), "What it is written in: which tools build it"),
  world: line(300, "The world that it implements: a name in the WIT of this project, or a full one such as acme:rules/rule@1.0.0"),
  wit: Schema.optionalKey(path('The folder or file of its WIT (default: "wit")')),
  entry: Schema.optionalKey(path("Its main source file; absent: the usual one of its language")),
  capabilities: Schema.optionalKey(
    described(
      Schema.Array(Capability).pipe(Schema.check(Schema.isMaxLength(256, { expected: "at most 256 entries" }))),
      "What it asks to be allowed; absent: nothing",
    ),
  ),
  limits: Schema.optionalKey(described(Schema.Struct(limitFields), "Limits it needs that are not a host's defaults")),
  metering: Schema.optionalKey(described(Schema.Literals(["deadline", "fuel", "yield", "off"]), "How it is stopped and measured (default: deadline)")),
  files: Schema.optionalKey(
    described(
      Schema.Array(path("A file, a folder, or a pattern with * and **")),
      "What is published besides the component, the manifest, the WIT and the README",
    ),
  ),
  keywords: Schema.optionalKey(
    described(
      Schema.Array(pattern(/^[a-z0-9][a-z0-9-]{0,39}$/u, "small letters, digits and -, at most 40 characters", "A word to find it by")).pipe(
        Schema.check(Schema.isMaxLength(20, { expected: "at most 20 words" })),
      ),
      "Words that it can be found by",
    ),
  ),
  build: Schema.optionalKey(Build),
}).pipe(Schema.annotate({ identifier: "plugin", title: "plugin.json", description: "A Stele plugin" }))

export type Manifest = typeof Manifest.Type
