/** `plugin.json` and test files: every problem at its line and column, and nothing of JSON's traps. */
import { chown, mkdtemp, mkdir, readdir, symlink, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import fc from "../../property.ts"
import t from "tap"
import { generate } from "../../../runtime/author/language/assemblyscript.ts"
import { licenseProblem } from "../../../runtime/author/license.ts"
import { unitFiles } from "../../../runtime/author/language/unit.ts"
import { decodeLocated, locate } from "../../../runtime/author/located.ts"
import { isForeign, openProject } from "../../../runtime/author/project.ts"
import { readTests } from "../../../runtime/author/test.ts"
import { AuthorError, type Problem } from "../../../schemas/error/author.ts"
import { manifestSchemaText, testSchemaText } from "../../../schemas/manifest/json-schema.ts"
import { Manifest } from "../../../schemas/manifest/plugin.ts"

const good = {
  $schema: "./plugin.schema.json",
  name: "my-rule",
  version: "0.1.0",
  description: "Decides",
  license: "MIT",
  language: "assemblyscript",
  world: "acme:my-rule/my-rule",
  capabilities: [{ grant: "log", reason: "Says what it decided" }],
  limits: { memoryBytesMax: 1 << 20 },
}

function problemsOf(work: () => unknown): ReadonlyArray<Problem> {
  try {
    work()
  } catch (error) {
    if (error instanceof AuthorError && error.reason._tag === "File") return error.reason.problems
    throw error
  }
  return []
}
const read = (text: string) => problemsOf(() => decodeLocated(Manifest, locate(text, "plugin.json")))
/** `line:column message = fix`, with a `|` in the excerpt where the caret stands. */
const brief = ({ line, column, message, fix, excerpt }: Problem): string => {
  const [shown = "", under = ""] = excerpt.split("\n")
  const caret = under.indexOf("^")
  return `${line}:${column} ${message} = ${fix ?? ""} [${shown.slice(2, caret)}|${shown.slice(caret)}]`
}

t.test("a manifest is read as it is written", async (t) => {
  t.strictSame(decodeLocated(Manifest, locate(JSON.stringify(good), "plugin.json")), good)
  t.strictSame(decodeLocated(Manifest, locate(`\uFEFF${JSON.stringify(good)}`, "plugin.json")), good, "a byte order mark is no problem")
})

t.test("every problem is told, at its place", async (t) => {
  const text = [
    "{",
    '  "name": "My-rule", "verson": "1.0.0",',
    '  "description": "x", "license": "MIT", "language": "rist", "world": "a",',
    '  "capabilities": [{ "grant": "log", "reson": "x" }],',
    '  "limits": { "fule": 1, "deadlineMs": -1 }',
    "}",
  ].join("\n")
  const found = read(text).map(brief)
  for (const expected of [
    '2:11 Expected words of small letters and digits with - between them, at most 64 characters as "name" =  [  "name": |"My-rule", "verson": "1.0.0",]',
    '2:22 Cannot know the key "verson" = write "version" if that was meant [  "name": "My-rule", |"verson": "1.0.0",]',
    '1:1 The key "version" is missing = add "version" [|{]',
    '4:38 Cannot know the key "reson" = write "reason" if that was meant [  "capabilities": [{ "grant": "log", |"reson": "x" }],]',
    '5:15 Cannot know the key "fule" = write "fuel" if that was meant [  "limits": { |"fule": 1, "deadlineMs": -1 }]',
    '5:40 Expected a whole number of ms as "limits.deadlineMs" =  [  "limits": { "fule": 1, "deadlineMs": |-1 }]',
  ])
    t.ok(found.includes(expected), `${expected}\n${found.join("\n")}`)
  t.equal(found.length, 8)
})

t.test("what is no JSON is refused where it stops being it", async (t) => {
  const cases: ReadonlyArray<readonly [text: string, place: string]> = [
    ["", "1:1"],
    ["{'a':1}", "1:2"],
    ['{"a":1,}', "1:8"],
    ['{"a":1,\n"a":2}', "2:1"],
    ["// no\n{}", "1:1"],
    ["[".repeat(100_000), "1:1"],
    [`${'{"a":'.repeat(100_000)}1`, "1:1"],
  ]
  for (const [text, place] of cases) {
    const [problem] = read(text)
    t.match(problem?.excerpt, /^ {2}.*\n {2} *\^$/)
    t.equal(`${problem?.line}:${problem?.column}`, place, text.slice(0, 20))
  }
})

t.test("keys are keys, whatever they are called", async (t) => {
  const { value } = locate('{"__proto__": {"name": 1}, "constructor": 2}', "plugin.json")
  t.strictSame(Object.keys(value as object), ["__proto__", "constructor"])
  t.equal(Object.getPrototypeOf(value), Object.prototype)
  t.match(brief(read('{"__proto__": 1}')[0] as Problem), /Cannot know the key "__proto__"/)
})

t.test("any text is read or refused, and any JSON is read as JSON.parse reads it", async (t) => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      const text = JSON.stringify(value)
      t.strictSame(JSON.stringify(locate(text, "f").value), JSON.stringify(JSON.parse(text)))
    }),
    { numRuns: 200 },
  )
  fc.assert(
    fc.property(fc.string({ maxLength: 60 }), fc.nat(), fc.string({ maxLength: 3 }), (noise, at, cut) => {
      const whole = JSON.stringify(good)
      const text = whole.slice(0, at % whole.length) + cut + noise + whole.slice(at % whole.length)
      for (const { line, column, excerpt } of read(text)) {
        const [shown = "", under = ""] = excerpt.split("\n")
        if (line < 1 || column < 1 || under.length < 3 || under.length > Array.from(shown).length + 1) throw new Error(`${line}:${column} in ${excerpt}`)
      }
    }),
    { numRuns: 500 },
  )
})

async function project(t: Tap, manifest: object, tests?: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "stele-author-"))
  await writeFile(join(folder, "plugin.json"), JSON.stringify(manifest))
  if (tests !== undefined) {
    await mkdir(join(folder, "tests"))
    await writeFile(join(folder, "tests", "a.json"), tests)
  }
  t.teardown(async () => (await import("node:fs/promises")).rm(folder, { recursive: true }))
  return folder
}
type Tap = { teardown(work: () => unknown): void }

t.test("grants are read as the host reads them, and each is there once", async (t) => {
  const folder = await project(t, { ...good, capabilities: ["log", "log", "kv:raed:x"].map((grant) => ({ grant, reason: "r" })) })
  const error = await openProject(folder).catch((thrown: unknown) => thrown)
  t.match(error, { code: "STELE-AUT-0001" })
  const { problems } = (error as { readonly reason: { readonly problems: ReadonlyArray<Problem> } }).reason
  t.match(problems.map(brief), [/The grant "log" is there twice/, /kv:raed:x/])
})

t.test("a file of nothing but keys that are there twice is refused at once", async (t) => {
  const startedMs = performance.now()
  t.equal(problemsOf(() => locate(`{${'"a":1,'.repeat(200_000)}"a":1}`, "plugin.json")).length, 50)
  t.ok(performance.now() - startedMs < 10_000)
})

t.test("bindings are not written through a link: what else lies there would go", async (t) => {
  const elsewhere = await project(t, good, "{}")
  const folder = await project(t, good)
  await mkdir(join(folder, "wit"))
  await writeFile(join(folder, "wit", "a.wit"), "package acme:my-rule;\nworld my-rule { export f: func(); }\n")
  await symlink(elsewhere, join(folder, "bindings"))
  await t.rejects(generate(await openProject(folder)), { code: "STELE-AUT-0004", message: /is a link/ })
  t.strictSame((await readdir(elsewhere)).sort(), ["plugin.json", "tests"])
})

t.test("the project is the nearest folder above", async (t) => {
  const folder = await project(t, good)
  await mkdir(join(folder, "src", "deep"), { recursive: true })
  t.equal((await openProject(join(folder, "src", "deep"))).folder, folder)
  await t.rejects(openProject(join(tmpdir())), { code: "STELE-AUT-0002" })
})

t.test("a project of another user is used when it is named, and not when it is found", async (t) => {
  for (const [owner, uid, sudoUid, foreign] of [
    [1000, 1000, undefined, false],
    [1001, 1000, undefined, true],
    [0, 1000, undefined, false],
    [1000, 0, undefined, true],
    [1000, 0, 1000, false],
    [1001, 0, 1000, true],
    [1001, undefined, undefined, false],
  ] as const)
    t.equal(isForeign(owner, uid, sudoUid), foreign, `${owner} ${uid} ${sudoUid}`)
  const folder = await project(t, good)
  await mkdir(join(folder, "src"))
  try {
    await chown(join(folder, "plugin.json"), 65_534, 65_534)
  } catch {
    return t.comment("only root gives files away")
  }
  for (const from of [folder, join(folder, "src")])
    await t.rejects(openProject(from), { code: "STELE-AUT-0016", exitCode: 5, fix: new RegExp(`--project ${folder}`) })
  await t.rejects(openProject(join(folder, "src"), true), { code: "STELE-AUT-0016" }, "a folder below it was named, and not it")
  t.equal((await openProject(folder, true)).folder, folder)
})

t.test("`licenseProblem()` takes SPDX expressions and tells what was meant", async (t) => {
  for (const right of ["MIT", "Apache-2.0 OR MIT", "(GPL-2.0-or-later WITH Classpath-exception-2.0) AND MIT", "LicenseRef-own", "GPL-2.0"])
    t.equal(licenseProblem(right), undefined, right)
  for (const [wrong, meant] of [
    ["mit", "MIT"],
    ["Apache 2.0", "Apache-2.0"],
    ["Apache License, Version 2.0", "Apache-2.0"],
    ["GPLv3", "GPL-3.0-only"],
    ["MIT License", "MIT"],
    ["Apache-2 OR MITT", "Apache-2.0 OR MIT"],
    ["all rights reserved", undefined],
    ["", undefined],
    ["MIT AND", undefined],
  ] as const)
    t.strictSame(licenseProblem(wrong), { meant }, wrong)
})

t.test("files of tests inside are found at any depth, and are not without number", async (t) => {
  const folder = await project(t, good, "{}")
  await mkdir(join(folder, "src", "deep"), { recursive: true })
  for (const file of ["tests/b.test.ts", "src/deep/a.test.ts", "src/plugin.ts"]) await writeFile(join(folder, file), "")
  t.strictSame(await unitFiles({ folder }), ["src/deep/a.test.ts", "tests/b.test.ts"])
  for (let i = 0; i < 1_000; i++) await writeFile(join(folder, "tests", `${i}.test.ts`), "")
  await t.rejects(unitFiles({ folder }), { code: "STELE-AUT-0017", message: /1002 files.*at most 1000/ })
})

t.test("tests need a result or an error", async (t) => {
  const tests = async (text: string) => readTests(await openProject(await project(t, good, text)))
  await t.rejects(tests('{"tests": [{"call": "a"}]}'), { code: "STELE-AUT-0001" })
  await t.rejects(tests('{"tests": [{"call": "a", "result": 1, "error": 1}]}'), { code: "STELE-AUT-0001" })
  t.strictSame(await tests('{"tests": []}'), [])
  t.strictSame(await openProject(await project(t, good)).then(readTests), [])
  t.strictSame(
    (await tests('{"tests": [{"call": "a", "result": null}]}')).map(({ name, file }) => [name, file]),
    [["a 1", "tests/a.json"]],
  )
})

t.test("the schemas that editors get refuse what the reader refuses", async (t) => {
  const manifest = JSON.parse(manifestSchemaText()) as {
    $defs: { plugin: { properties: object; additionalProperties: boolean; required: ReadonlyArray<string> } }
  }
  t.equal(manifest.$defs.plugin.additionalProperties, false)
  t.strictSame(manifest.$defs.plugin.required, ["name", "version", "description", "license", "language", "world"])
  t.match(testSchemaText(), /"additionalProperties": false/)
})
