/**
 * The published package: packed, installed into an empty folder from npm's cache, and used there on all engines. What
 * it runs is the README's first block.
 */
import { spawnSync } from "node:child_process"
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { delimiter, join } from "node:path"
import { fileURLToPath } from "node:url"
import t from "tap"
import { blocks } from "../check/docs.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))
const bins = [join(root, "node_modules/.bin"), join(root, "test/node_modules/.bin")]
const env = { ...process.env, PATH: [...bins, process.env.PATH].join(delimiter), NO_COLOR: "1" }
const folder = await mkdtemp(join(tmpdir(), "stele-package-"))
t.teardown(() => rm(folder, { recursive: true }))

function run(command: string, args: ReadonlyArray<string>, cwd: string) {
  const { status, stdout, stderr, error } = spawnSync(command, args, { cwd, env, encoding: "utf8", timeout: 240_000 })
  return { status, stdout, stderr: `${stderr}${error?.message ?? ""}` }
}

interface Packed {
  readonly filename: string
  readonly files: ReadonlyArray<{ readonly path: string }>
}

// `--ignore-scripts`: the build is there already, and a script's words would be among the JSON.
const packing = run("npm", ["pack", "--json", "--ignore-scripts", "--pack-destination", folder], root)
if (packing.status !== 0) t.bailout(packing.stderr)
// npm 12 prints an object by package name, npm 11 an array.
const listed = JSON.parse(packing.stdout) as ReadonlyArray<Packed> | Readonly<Record<string, Packed>>
const packed = Object.values(listed)[0] as Packed
await writeFile(join(folder, "package.json"), '{ "private": true, "type": "module" }\n')
const installing = run("npm", ["install", "--prefer-offline", "--no-audit", "--no-fund", `./${packed.filename}`], folder)
if (installing.status !== 0) t.bailout(installing.stderr)

const [first] = blocks(await readFile(join(root, "README.md"), "utf8"))
const engines: ReadonlyArray<readonly [string, ...ReadonlyArray<string>]> = [["node"], ["deno", "run", "--allow-all"], ["bun"]]

t.test("`npm pack` ships JavaScript, declarations, first-party and example plugins when the package is built", async (t) => {
  const paths = packed.files.map(({ path }) => path)
  for (const wanted of [
    "LICENSE",
    "README.md",
    "CHANGELOG.md",
    "dist/mod.js",
    "dist/host.js",
    "dist/effect.js",
    "dist/schemas.js",
    "dist/package.json",
    "dist/plugins/index.json",
  ]) {
    t.ok(paths.includes(wanted), wanted)
  }
  for (const name of ["greeter", "nearest", "snoop", "spinner", "table-stats", "text-stats"]) {
    t.ok(paths.includes(`dist/examples/${name}/${name}.wasm`), `${name}.wasm`)
    t.ok(paths.includes(`dist/examples/${name}/example.json`), `${name}'s example.json`)
  }
  t.ok(paths.includes("dist/sdk/decimal.as.ts"), "the SDK")
  t.same(
    // What a template and the SDK hold is copied into a project, and compiled there.
    paths.filter((path) => path.endsWith(".ts") && !path.endsWith(".d.ts") && !/^dist\/(templates|sdk)\//.test(path)),
    [],
    "no engine strips types under node_modules",
  )
  t.same(
    paths.filter((path) => path.startsWith("test/")),
    [],
  )
})

for (const [engine, ...args] of engines) {
  t.test(`README's first block prints what it says when ${engine} runs it in an empty folder`, async (t) => {
    const path = join(folder, "first.ts")
    await writeFile(path, first?.body ?? "")
    const { status, stdout, stderr } = run(engine, [...args, path], folder)
    t.equal(status, 0, stderr)
    t.equal(stdout, first?.output)
  })

  t.test(`README's first block fails with the grant's name when ${engine} runs it without that grant`, async (t) => {
    const path = join(folder, "refused.ts")
    const without = (first?.body ?? "").replace(', "kv:read:prices/*"', "")
    t.not(without, first?.body)
    await writeFile(path, without)
    const { status, stderr } = run(engine, [...args, path], folder)
    t.not(status, 0)
    t.match(stderr, /needs the grant "kv:read:/)
  })
}

t.test("declarations type every entry when a strict program imports them", async (t) => {
  const path = join(folder, "typed.ts")
  await writeFile(
    path,
    `import { Host, LimitError, type Plugin } from "stele"
import { Host as Core } from "stele/host"
import * as Layers from "stele/effect"
import { fromJson, primitive } from "stele/schemas"
type Api = { "acme:greeter/api#greet": (visitor: { readonly name: string }) => { readonly message: string } }
await using host: Core = await Host.open()
const plugin: Plugin<Api> = await host.load<Api>("greeter.wasm")
export const { message }: { readonly message: string } = await plugin.call("acme:greeter/api#greet", [{ name: "Ada" }])
// @ts-expect-error: an export that the plugin does not have
await plugin.call("acme:greeter/api#meet", [])
export const rest = [LimitError, Layers, fromJson(primitive.u8, 1)]
`,
  )
  const compiler = join(root, "node_modules/typescript/bin/tsc")
  const args = [compiler, "--noEmit", "--strict", "--exactOptionalPropertyTypes", "--module", "nodenext", "--target", "esnext", path]
  const { status, stdout } = run(process.execPath, args, folder)
  t.equal(stdout, "")
  t.equal(status, 0)
})
