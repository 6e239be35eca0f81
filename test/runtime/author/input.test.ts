/** Values that lie in files of the project: read whole, from inside it, and refused with their place. */
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import t from "tap"
import { fileInput, inputBytesMax, readInputs } from "../../../runtime/author/input.ts"
import { openProject } from "../../../runtime/author/project.ts"
import { readTests } from "../../../runtime/author/test.ts"

const folder = await mkdtemp(join(tmpdir(), "stele-input-"))
t.teardown(() => rm(folder, { recursive: true }))
await mkdir(join(folder, "data"))
await mkdir(join(folder, "tests"))
await writeFile(join(folder, "data/a.csv"), "\uFEFFa,b\n1,é\n")
await writeFile(join(folder, "data/a.bin"), Uint8Array.of(0xff, 0x00, 0x61))
await writeFile(join(folder, "data/rules.json"), '[{ "id": 1, "__proto__": { "$text": "data/a.csv" } }]')
await writeFile(join(folder, "data/torn.json"), "[1,")
await writeFile(join(folder, "data/large"), new Uint8Array(inputBytesMax + 1))
await symlink("/nowhere", join(folder, "data/gone"))

const refuse = (path: ReadonlyArray<PropertyKey>, problem: string): never => {
  throw new Error(`${path.join(".")} ${problem}`)
}
const read = (value: unknown): Promise<unknown> => readInputs(folder, value, refuse)

t.test("`readInputs()` puts what files hold in their place, at any depth", async (t) => {
  t.same(await read([{ $text: "data/a.csv" }, { deep: [{ $bytes: "data/a.bin" }] }, null, 1, "x"]), ["\uFEFFa,b\n1,é\n", { deep: ["/wBh"] }, null, 1, "x"])
  const [rules] = (await read([{ $json: "data/rules.json" }])) as [ReadonlyArray<object>]
  t.same(Object.keys(rules[0] as object), ["id", "__proto__"], "what a file holds is a value, and nothing of it is read again")
  for (const other of [{ $text: 1 }, { $text: "a", more: 1 }, { text: "data/a.csv" }, {}, []]) {
    t.equal(fileInput(other), undefined)
    t.same(await read(other), other)
  }
})

t.test("`readInputs()` refuses with the place when a file cannot be read", async (t) => {
  for (const [value, told] of [
    [{ $text: "../a" }, /^0 .*not inside the project/],
    [{ $text: "/etc/passwd" }, /not inside/],
    [{ $text: "C:/a" }, /not inside/],
    [{ $text: "data/../../a" }, /not inside/],
    [{ $text: "data\\..\\..\\a" }, /not inside/],
    [{ $text: "" }, /not inside/],
    [{ $text: "data" }, /no such file/],
    [{ $text: "data/gone" }, /no such file/],
    [{ a: [1, { $text: "data/b.csv" }] }, /^0\.a\.1 .*no such file/],
    [{ $text: "data/a.bin" }, /not UTF-8/],
    [{ $json: "data/torn.json" }, /as JSON/],
    [{ $bytes: "data/large" }, /16777217 bytes, and at most 16777216/],
  ] as const)
    await t.rejects(read([value]), { message: told }, JSON.stringify(value))
})

t.test("a test whose file is not there is shown at its place", async (t) => {
  await writeFile(
    join(folder, "plugin.json"),
    JSON.stringify({ name: "a", version: "0.1.0", description: "d", license: "MIT", language: "typescript", world: "w" }),
  )
  await writeFile(join(folder, "tests/a.json"), '{"tests": [\n  {"call": "f", "arguments": [{"x": {"$text": "data/b.csv"}}], "result": null}\n]}')
  await t.rejects(readTests(await openProject(folder)), {
    code: "STELE-AUT-0001",
    reason: { problems: [{ file: "tests/a.json", line: 2, column: 37, message: /no such file/ }] },
  })
})
