/** Tests inside the sandbox, `*.test.ts`: what passes, what fails and where, and that none ends the others. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import t from "tap"
import { newProject } from "../../journey/author-dev.ts"
import { stele } from "../command-line.ts"

t.setTimeout(400_000)

interface Told {
  readonly name: string
  readonly file: string
  readonly line: number
  readonly passed: boolean
  readonly problems: ReadonlyArray<string>
}

const folder = await mkdtemp(join(tmpdir(), "stele-unit-"))
t.teardown(() => rm(folder, { recursive: true }))

async function told(
  project: string,
  file: string,
  source: string,
  ...words: ReadonlyArray<string>
): Promise<{ readonly code: number | null; readonly tests: ReadonlyArray<Told> }> {
  await writeFile(join(project, file), source)
  const { code, stdout, stderr } = stele(["test", "--json", ...words], { cwd: project, timeoutMs: 180_000 })
  const [line = ""] = stdout.split("\n")
  if (!line.startsWith('{"passed"')) throw new Error(stdout + stderr)
  return { code, tests: (JSON.parse(line) as { readonly tests: ReadonlyArray<Told> }).tests.filter((one) => one.file === file) }
}
const brief = ({ name, line, passed, problems }: Told) => [name, line, passed ? "pass" : problems.join("; ")]

t.test("AssemblyScript", async (t) => {
  const project = await newProject(folder, "as-rule")
  const { code, tests } = await told(
    project,
    "tests/inside.test.ts",
    `import { expect, fail, test } from "../bindings/sdk/test"
import { Visitor } from "../bindings/api"
import { greet } from "../src/plugin"
class Money { constructor(public cents: i32) {} equals(other: Money): bool { return this.cents == other.cents } toString(): string { return this.cents.toString() + " cents" } }
test("passes", () => {
  expect(greet(new Visitor("Ada", ["de"])).value.text).toEqual("Willkommen, Ada!")
  expect([[1, 2], [3]]).toEqual([[1, 2], [3]])
  expect<string | null>(null).toEqual(null)
  expect<string | null>("a").not.toEqual(null)
  expect(NaN).toEqual(NaN)
  expect(new Money(2)).toEqual(new Money(2))
})
test("numbers", () => { expect<u64>(18446744073709551615).toEqual(1) })
test("lists", () => {
  expect("a,b".split(",")).toEqual(["a", "c"])
})
test("objects", () => { expect(new Money(2)).toEqual(new Money(3)) })
test("opposite", () => { expect(true).not.toEqual(true) })
test("asserts", () => { assert(greet(new Visitor("", [])).isOk, "it is refused") })
test("bounds", () => { const none: string[] = []; expect(none[none.length]).toEqual("") })
test("traps", () => { unreachable() })
test("never ends", () => { while (true) {} })
test("fails", () => fail("no reason"))
test("after all", () => {})
`,
  )
  t.equal(code, 1)
  const at = "tests/inside.test.ts"
  t.match(tests.map(brief), [
    ["passes", 5, "pass"],
    ["numbers", 13, `${at}:13:25 expected 1, got 18446744073709551615`],
    ["lists", 14, `${at}:15:3 expected ["a", "c"], got ["a", "b"]`],
    ["objects", 17, `${at}:17:25 expected 3 cents, got 2 cents`],
    ["opposite", 18, `${at}:18:26 expected anything but true`],
    ["asserts", 19, `${at}:19:25 it is refused`],
    ["bounds", 20, /^~lib\/array\.ts:\d+:\d+ Index out of range$/],
    ["traps", 21, /^STELE-PLG-0002.*inside\.test/],
    ["never ends", 22, /^STELE-LIM-0010/],
    ["fails", 23, `${at}:23:21 no reason`],
    ["after all", 24, "pass"],
  ])
  const check = stele(["check", "--seed", "1"], { cwd: project })
  t.match(check, { code: 3, stdout: /FAIL tests +9 of 13 failed: numbers/ })
  const beside = await told(
    project,
    "src/beside.test.ts",
    'import { expect, test } from "../bindings/sdk/test"\ntest("beside the source", () => { expect(1).toEqual(1) })\n',
    "--only",
    "beside",
  )
  t.match(beside, { code: 0, tests: [{ name: "beside the source", line: 2, passed: true }] }, "some alone, and beside the source")
  await writeFile(join(project, "tests/inside.test.ts"), "unreachable()\n")
  t.match(stele(["test"], { cwd: project }), { code: 1, stderr: /STELE-AUT-0017.*STELE-PLG-0002/s }, "files that cannot be run are no tests that pass")
  await writeFile(join(project, "tests/inside.test.ts"), "nothing()\n")
  t.match(stele(["test"], { cwd: project }), { code: 1, stderr: /STELE-AUT-0004.*tests\/inside\.test\.ts\(1,1\)/s })
  await rm(join(project, "tests"), { recursive: true })
  t.match(stele(["test"], { cwd: project }), { code: 0, stdout: /^pass beside the source\n1 passed, 0 failed/ }, "tests inside are tests enough")
})

t.test("TypeScript", async (t) => {
  const project = await newProject(folder, "ts-rule", "--template", "typescript")
  const { code, tests } = await told(
    project,
    "tests/inside.test.ts",
    `import { expect, fail, test } from "../bindings/sdk/test.ts"
import { api } from "../src/plugin.ts"
test("passes", () => {
  expect(api.greet({ name: "Ada", languages: ["de"] }).text).toEqual("Willkommen, Ada!")
  expect({ a: [1, NaN], b: new Map([[1, new Set([2])]]) }).toEqual({ a: [1, NaN], b: new Map([[1, new Set([2])]]) })
  expect<unknown>([1]).not.toEqual({ 0: 1 })
})
test("records", () => {
  const expected = { a: [1, 3] }
  expect({ a: [1, 2] }).toEqual(
    expected,
  )
})
test("throws", () => void api.greet({ name: "", languages: [] }))
test("never ends", () => {
  for (;;);
})
test("waits", async () => {})
test("fails", () => fail("no reason"),)
test("after all", () => {})
`,
  )
  t.equal(code, 1)
  const at = "tests/inside.test.ts"
  t.match(tests.map(brief), [
    ["passes", 3, "pass"],
    ["records", 8, `${at}:10:3 expected {"a":[1,3]}, got {"a":[1,2]}`],
    ["throws", 14, `${at}:14:1 threw "Cannot welcome a visitor without a name"`],
    ["never ends", 15, /^STELE-LIM-0010/],
    ["waits", 18, `${at}:18:1 the test gave a promise, and a plugin answers at once`],
    ["fails", 19, `${at}:19:21 no reason`],
    ["after all", 20, "pass"],
  ])
  t.match(await readFile(join(project, "bindings/sdk/test.ts"), "utf8"), /^\/\/ Copied from Stele's SDK/)
})
