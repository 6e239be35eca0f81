/** The scripts that prepare a checkout: what they write is reproducible, and they are silent when there is nothing to do. */
import { spawnSync } from "node:child_process"
import { copyFile, mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import t from "tap"
import { assemblyScriptComponent, mergeWit } from "../../runtime/build/component.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))
const folder = await mkdtemp(join(tmpdir(), "stele-build-"))
t.teardown(() => rm(folder, { recursive: true }))

interface Example {
  readonly source: string
  readonly world: string
  readonly exports: Readonly<Record<string, string>>
}

t.test("`assemblyScriptComponent()` writes the same bytes when it runs again", async (t) => {
  for (const name of ["greeter", "text-stats", "spinner", "snoop"]) {
    const from = join(root, "plugins/examples", name)
    const { source, world, exports } = JSON.parse(await readFile(join(from, "example.json"), "utf8")) as Example
    const again = await assemblyScriptComponent({ path: join(from, source), witPath: join(from, "build", `${name}.wit`), world }, exports)
    t.ok(Buffer.from(again).equals(await readFile(join(from, "build", `${name}.wasm`))), name)
  }
})

t.test("`assemblyScriptComponent()` names the export when the module has none of that name", async (t) => {
  const from = join(root, "plugins/examples/spinner")
  const source = { path: join(from, "spinner.as.ts"), witPath: join(from, "build/spinner.wit"), world: "stele:example-spinner/spinner@0.1.0" }
  await t.rejects(assemblyScriptComponent(source, { turn: "stele:example-spinner/wheel@0.1.0#spin" }), /Cannot rename export "turn"/)
})

t.test("`mergeWit()` nests packages when a world uses them", async (t) => {
  const main = join(folder, "main.wit")
  const used = join(folder, "used.wit")
  await writeFile(main, "package a:b;\nworld w { import c:d/e@0.1.0; }\n")
  await writeFile(used, "/// What is used.\npackage c:d@0.1.0;\ninterface e { f: func(); }\n")
  t.equal(
    await mergeWit([main, used]),
    "package a:b;\nworld w { import c:d/e@0.1.0; }\n\n/// What is used.\npackage c:d@0.1.0 {\ninterface e { f: func(); }\n}\n",
  )
  await writeFile(used, "interface e { f: func(); }\n")
  await t.rejects(mergeWit([main, used]), /no "package" statement/)
})

t.test("`prepare.mjs` says and changes nothing when all is in place", async (t) => {
  const { status, stdout, stderr } = spawnSync(process.execPath, ["runtime/build/prepare.mjs", "examples", "test"], { cwd: root, encoding: "utf8" })
  t.equal(status, 0)
  t.equal(stdout + stderr, "")
})

t.test("`complete-lock.mjs` adds the packages of other platforms when a lockfile lacks them", async (t) => {
  const path = join(folder, "package-lock.json")
  const complete = () => spawnSync(process.execPath, [join(root, "runtime/build/complete-lock.mjs"), path], { encoding: "utf8" })
  await copyFile(join(root, "package-lock.json"), path)
  t.equal(complete().status, 0)
  t.equal(await readFile(path, "utf8"), await readFile(join(root, "package-lock.json"), "utf8"), "the repository's own is complete")
  const lock = JSON.parse(await readFile(path, "utf8")) as { readonly packages: Record<string, Record<string, unknown>> }
  const place = "node_modules/@rolldown/binding-linux-arm64-musl"
  delete lock.packages[place]
  await writeFile(path, JSON.stringify(lock))
  t.match(complete().stderr, "1 optional packages of other platforms added")
  const completed = JSON.parse(await readFile(path, "utf8")) as typeof lock
  t.match(completed.packages[place], { cpu: ["arm64"], libc: ["musl"], os: ["linux"], optional: true })
})
