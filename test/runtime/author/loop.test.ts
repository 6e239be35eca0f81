/** A plugin in TypeScript through the command line: built, tested in a world of fakes, told what is wrong. */
import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import t from "tap"
import { type Ended, root, stele as run } from "../command-line.ts"

t.setTimeout(300_000)

const stele = (cwd: string, ...words: ReadonlyArray<string>): Ended => run(words, { cwd })

const files: Readonly<Record<string, string>> = {
  "package.json": '{"private": true, "type": "module"}',
  "plugin.json": JSON.stringify({ name: "shout", version: "0.1.0", description: "Shouts", license: "MIT", language: "typescript", world: "acme:shout/shout" }),
  "wit/world.wit": "package acme:shout;\ninterface api { shout: func(text: string, times: u8) -> result<string, string>; }\nworld shout { export api; }\n",
  "src/loud.ts": "export const loud = (text: string): string => text.toUpperCase()\n",
  "src/plugin.ts":
    'import { loud } from "./loud.ts"\nexport const api = {\n  shout(text: string, times: number): string {\n    if (text === "") throw "nothing to shout"\n    return loud(text) + "!".repeat(times)\n  },\n}\n',
  "tests/a.json": JSON.stringify({
    tests: [
      { call: "shout", arguments: ["hi", 2], result: "HI!!" },
      { call: "api#shout", arguments: ["", 1], error: "nothing to shout" },
      { name: "wrong on purpose", call: "shout", arguments: ["a", 1], result: "B!" },
      { name: "too few", call: "shout", arguments: ["a"], result: "A!" },
      { name: "no such export", call: "whisper", result: null },
      { name: "no error came", call: "shout", arguments: ["a", 0], error: "STELE-LIM-0010" },
      { name: "an argument of another type", call: "shout", arguments: ["a", 300], result: "A" },
    ],
  }),
}

t.test("a project is made whole or not at all", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "stele-new-"))
  t.teardown(() => rm(folder, { recursive: true }))
  const made = stele(folder, "new", "price-rule", "--template", "typescript", "--namespace", "shop")
  t.equal(made.code, 0, made.stderr)
  t.match(made.stdout, /cd price-rule && npm install && stele test/, "the next command is told")
  const project = join(folder, "price-rule")
  const files = await readdir(project, { recursive: true, withFileTypes: true })
  for (const file of files.filter((entry) => entry.isFile())) {
    const path = join(file.parentPath, file.name)
    t.notMatch(await readFile(path, "utf8"), /my.?plugin|acme:my/i, `${file.name} has the project's own name`)
  }
  t.ok(files.some(({ name }) => name === ".gitignore"))
  t.match(stele(folder, "new", "price-rule", "--template", "typescript"), { code: 6, stderr: /STELE-AUT-0008/ }, "nothing is overwritten")
  t.match(stele(folder, "new", "Price", "--template", "typescript"), { code: 2, stderr: /STELE-AUT-0007/ })
  t.match(stele(folder, "new", "interface", "--template", "typescript"), { code: 2, stderr: /STELE-AUT-0007/ })
  t.match(stele(folder, "new", "a", "--template", "typscript"), { code: 2, stderr: /one of typescript/ })
  t.match(stele(folder, "new", "a", "--namespace", "A:b", "--template", "typescript"), { code: 2, stderr: /the namespace/ })
  t.match(stele(folder, "new", "a", "--namespace", "wasi"), { code: 2, stderr: /the namespace "wasi".*a word of your own/s })
  t.match(stele(folder, "new", ""), { code: 2, stderr: /the name ""/ })
  t.strictSame(await readdir(folder), ["price-rule"])

  await symlink(join(root, "node_modules"), join(project, "node_modules"))
  const tested = stele(project, "test")
  t.match(tested, { code: 0, stdout: /2 passed, 0 failed/ })
  const checked = stele(project, "check", "--json", "--seed", "1")
  const { verdicts, capabilities } = JSON.parse(checked.stdout.split("\n")[0] ?? "") as {
    verdicts: ReadonlyArray<{ about: string; verdict: string; reason: string }>
    capabilities: object
  }
  t.strictSame(capabilities, { asked: ["log"], used: ["log"] })
  const verdictOf = (about: string) => verdicts.find((one) => one.about === about)?.verdict
  for (const about of ["manifest", "abi", "capabilities", "determinism", "metering", "hostile input", "size", "documentation"])
    t.equal(verdictOf(about), "pass", about)
  t.equal(verdictOf("license"), "warn", "the template has no text of a license")
  const inspected = stele(project, "inspect", "build/price-rule.wasm", "--json")
  const { imports } = JSON.parse(inspected.stdout) as { imports: ReadonlyArray<{ name: string }> }
  t.strictSame(
    imports.map(({ name }) => name),
    ["wasi:logging/logging@0.1.0-draft"],
    "QuickJS asks for nothing of its own",
  )
})

t.test("AssemblyScript: bindings are made, a turn of dev is labelled, and check builds anew", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "stele-as-"))
  t.teardown(() => rm(folder, { recursive: true }))
  t.equal(stele(folder, "new", "price-rule").code, 0)
  const project = join(folder, "price-rule")
  t.match(stele(project, "build"), { code: 69, stderr: /npm install --save-dev assemblyscript/ })
  await symlink(join(root, "node_modules"), join(project, "node_modules"))
  const turn = stele(project, "dev", "--once", "--json")
  t.match(JSON.parse(turn.stdout), { passed: 2, failed: 0, exports: ["acme:price-rule/api#greet"], capabilities: { asked: ["log"], used: ["log"] } })
  t.match(await readFile(join(project, "bindings/api.ts"), "utf8"), /class Visitor/)
  const library = join(project, "bindings/sdk/decimal.ts")
  const { mtimeMs } = await stat(library)
  await writeFile(join(project, "bindings/sdk/gone.ts"), "")
  const component = join(project, "build/price-rule.wasm")
  t.ok((await readFile(component)).subarray(-9).equals(Buffer.from("stele:dev")), "what dev builds says so")
  t.equal(stele(project, "check", "--seed", "1").code, 0)
  const bytes = await readFile(component)
  t.notOk(bytes.subarray(-9).equals(Buffer.from("stele:dev")))
  t.ok(bytes.length <= 12_000, `${bytes.length} bytes`)
  await writeFile(join(project, "asconfig.json"), '{"options": {"runtime": "stub"}}')
  t.match(stele(project, "test"), { code: 0, stdout: /2 passed/ })
  const { length } = await readFile(component)
  t.ok(length <= 6_000, `without a collector: ${length} bytes`)
  await rm(join(project, "asconfig.json"))
  const tests = await readFile(join(project, "tests/greet.json"), "utf8")
  await writeFile(join(project, "tests/greet.json"), tests.replace("Willkommen", "Welkom"))
  t.match(
    stele(project, "dev", "--once"),
    { code: 1, stdout: /1 passed, 1 failed/, stderr: /STELE-AUT-0010.*1 test of 2 failed/ },
    "a test that fails is its exit code",
  )
  await writeFile(join(project, "tests/greet.json"), tests)
  t.equal((await stat(library)).mtimeMs, mtimeMs, "what is the same is not written again")
  t.notOk((await readdir(join(project, "bindings/sdk"))).includes("gone.ts"), "what no build made goes")
  await writeFile(
    join(project, "src/plugin.ts"),
    `import { Visitor, Welcome } from "../bindings/api"
import { Decimal, DecimalError } from "../bindings/sdk/decimal"
import { err, ok, Result } from "../bindings/runtime"
function price(text: string): Result<Decimal, DecimalError> { return Decimal.parse(text) }
export function greet(visitor: Visitor): Result<Welcome, string> {
  const sum = price(visitor.name)
  return sum.isErr ? err<Welcome, string>(sum.error.toString()) : ok<Welcome, string>(new Welcome(sum.value.times(3).toString(), "en"))
}
`,
  )
  t.equal(stele(project, "build").code, 0)
  t.match(
    stele(project, "call", "build/price-rule.wasm", "greet", '{name: "0.1", languages: []}').stdout,
    /"?0\.3"?/,
    "a library answers with the bindings' own Result",
  )
  await writeFile(join(project, "src/plugin.ts"), "export function greet(): i32 { return true ? nothing : 1 }\n")
  t.match(stele(project, "dev", "--once"), { code: 1, stdout: "", stderr: /STELE-AUT-0004/ }, "and so is a build that fails")
  t.match(stele(project, "build"), { code: 1, stderr: /in bindings\/exports\.ts\(\d+,\d+\)/ }, "the compiler's own places are passed on")
  await writeFile(join(project, "wit/world.wit"), "package acme:price-rule;\nworld price-rule { export greet: func(x: strang); }\n")
  t.match(stele(project, "build"), { code: 3, stderr: /wit\/world\.wit.*line 2.*strang/s }, "so are those of the WIT")
})

t.test("build and test", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "stele-loop-"))
  t.teardown(() => rm(folder, { recursive: true }))
  for (const [name, text] of Object.entries(files)) {
    await mkdir(join(folder, name, ".."), { recursive: true })
    await writeFile(join(folder, name), text)
  }
  const missing = stele(folder, "build")
  t.equal(missing.code, 69)
  t.match(missing.stderr, /STELE-AUT-0003.*npm install --save-dev componentize-qjs rolldown/s, "a missing compiler is named, with the line that installs it")

  await symlink(join(root, "node_modules"), join(folder, "node_modules"))
  const tested = stele(join(folder, "src"), "test", "--json")
  t.equal(tested.code, 1)
  const { tests } = JSON.parse(tested.stdout.split("\n")[0] ?? "") as {
    tests: ReadonlyArray<{ name: string; passed: boolean; problems: ReadonlyArray<string> }>
  }
  t.strictSame(
    tests.map(({ name, passed }) => [name, passed]),
    [
      ["shout 1", true],
      ["api#shout 2", true],
      ["wrong on purpose", false],
      ["too few", false],
      ["no such export", false],
      ["no error came", false],
      ["an argument of another type", false],
    ],
  )
  t.match(tests[2]?.problems, ['result: expected "B!", got "A!"'])
  t.match(tests[3]?.problems, [/shout/])
  t.match(tests[4]?.problems, [/STELE-PLG-\d+.*whisper/])
  t.match(tests[5]?.problems, [/answered "A", and an error was expected/])
  t.match(tests[6]?.problems, [/arguments\[1\]/])

  await mkdir(join(folder, "tests/kept.json"))
  t.match(stele(folder, "test", "--only", "shout 1"), { code: 0, stdout: /1 passed, 0 failed/ }, "a folder is no file of tests")
  t.match(stele(folder, "test", "--only", "shuot"), { code: 2, stderr: /"shuot" as "--only"/ }, "a misspelt name is not success")
  t.match(stele(folder, "test", "--fuzz", "1s", "--only", "shout"), { code: 2, stderr: /--only picks tests/ })

  await writeFile(join(folder, "src/plugin.ts"), "export const api = {\n  shout(text: string { return text }\n}\n")
  const broken = stele(folder, "build")
  t.equal(broken.code, 1)
  t.match(broken.stderr, /STELE-AUT-0004/, "what the compiler says is passed on")
  t.match(broken.stderr, /plugin\.ts/)
})
