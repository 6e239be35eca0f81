/** Bindings for C, Rust and Go: compiled as `stele build` does, called through the host; what goes in comes out, and nothing stays. */
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import t from "tap"
import { build } from "../../runtime/author/build.ts"
import { toolchainOf } from "../../runtime/author/language/mod.ts"
import { runProgram, versionOf } from "../../runtime/author/language/other.ts"
import { openProject } from "../../runtime/author/project.ts"
import { openTools } from "../../runtime/author/tools.ts"
import { assemblyScriptBindings } from "../../schemas/generate/assemblyscript/mod.ts"
import { cBindings } from "../../schemas/generate/c/mod.ts"
import { goBindings } from "../../schemas/generate/go/mod.ts"
import { rustBindings } from "../../schemas/generate/rust/mod.ts"
import type { Language } from "../../schemas/manifest/plugin.ts"
import { parseWit, selectWorld } from "../../schemas/wit/parse/mod.ts"
import { randomWorld } from "./random-world.ts"
import { forwarding, forwards, sources } from "./languages/forwarding.ts"
import { everyType } from "./languages/every-type.ts"
import { isFull, replay, replayOne, runsOf, seed } from "../seed.ts"

t.setTimeout(300_000)
const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url))
const templates = here("../../plugins/templates")

/** The language's source in this folder, its place in a project, and what of the template goes along. */
const languages: ReadonlyArray<readonly [language: Language, source: string, place: string, along: ReadonlyArray<string>]> = [
  ["c", "plugin.c", "src/plugin.c", ["sdk"]],
  ["rust", "plugin.rs", "src/lib.rs", []],
  ["go", "plugin.go", "plugin.go", ["go.mod"]],
]

async function component(language: Language, wit: string, source: string, place: string, along: ReadonlyArray<string>, world?: string): Promise<Uint8Array> {
  const folder = await mkdtemp(join(tmpdir(), "stele-lang-"))
  try {
    const files = {
      "plugin.json": JSON.stringify({
        name: "all",
        version: "0.1.0",
        description: "All",
        license: "MIT",
        language,
        world: world ?? selectWorld(parseWit(wit)).full,
      }),
      "wit/world.wit": wit,
      [place]: source,
    }
    for (const name of along) await cp(join(templates, language, name), join(folder, name), { recursive: true })
    for (const [path, text] of Object.entries(files)) {
      await mkdir(dirname(join(folder, path)), { recursive: true })
      await writeFile(join(folder, path), text)
    }
    await using tools = openTools()
    return await build(await openProject(folder), tools)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** A compiler's time decides how many. */
const forwarded = { c: isFull ? 40 : 3, rust: isFull ? 12 : 1, go: isFull ? 6 : 1 }

for (const [language, source, place, along] of languages) {
  const missing = (await (await toolchainOf(language)).needs(undefined)).filter(({ found }) => found === undefined)
  const skip = missing.length > 0 && `not here: ${missing.map(({ what }) => what).join(", ")}`
  t.test(`${language}: every type crosses both ways, and the memory of many calls stays what it was`, { skip }, async (t) => {
    const wit = await readFile(here("assemblyscript/world.wit"), "utf8")
    // Go's collector lets the heap grow to its first size before it begins.
    await everyType(
      t,
      await component(language, wit, await readFile(here(`languages/${source}`), "utf8"), place, along),
      3_000,
      language === "go" ? 2_000 : 300,
    )
  })

  const worlds = runsOf(forwarded[language as "c"])
  t.test(`${language}: ${worlds} random worlds carry every value from the host to the plugin, on to an import, and back`, { skip }, async (t) => {
    let left = worlds
    for (let each = seed; left > 0 && each < seed + 4 * worlds + 4; each++) {
      const of = forwarding(each)
      try {
        const made = await component(language, of.wit, sources[language as "c"](of), place, along, of.world)
        t.strictSame(await forwards(of, made, each, 8), [], `${replayOne(each)}: ${of.functions.length} functions`)
        left--
      } catch (error) {
        // Names that only a dash tells apart.
        t.match(error, { code: "STELE-GEN-0002" }, replayOne(each))
      }
    }
    t.equal(left, 0, "most worlds have names that the language can tell apart")
  })
}

const worlds = runsOf(15, 300)
const noClang = (await versionOf("clang", ["--version"])) === undefined && "not here: clang"
t.test(`${worlds} random worlds are generated for each language, and the C of each compiles`, { skip: noClang }, async (t) => {
  t.comment(`${replay} replays`)
  const folder = await mkdtemp(join(tmpdir(), "stele-c-"))
  t.teardown(() => rm(folder, { recursive: true }))
  const flags = ["--target=wasm32", "-std=c17", "-ffreestanding", "-fsyntax-only", "-Wall", "-Werror", "-Wno-unused", `-I${join(templates, "c/sdk")}`]
  for (let each = seed; each < seed + worlds; each++) {
    const { input, world: name } = randomWorld(each)
    const resolve = parseWit(input)
    const { world, full } = selectWorld(resolve, name)
    const options = { world, name: full, notes: resolve.notes }
    const generated = [rustBindings, goBindings, cBindings].map((generate) => {
      try {
        return generate(options)
      } catch (error) {
        // Names that only a dash tells apart: `a` with `b-c`, and `a-b` with `c`.
        t.match(error, { code: "STELE-GEN-0002" }, replayOne(each))
        return undefined
      }
    })
    const c = generated[2]
    if (c === undefined) continue
    for (const { path, text } of c) await writeFile(join(folder, path), text)
    await t.resolves(runProgram("c", ["clang", ...flags, "plugin.c"], folder), replayOne(each))
  }
})

t.test("what cannot be expressed is refused with its place, and generation is stable", async (t) => {
  for (const [target, generate] of [
    ["AssemblyScript", assemblyScriptBindings],
    ["C", cBindings],
    ["Rust", rustBindings],
    ["Go", goBindings],
  ] as const) {
    const named = selectWorld(parseWit("package a:b; world w { import memory: func(); export memory: func(); }"))
    t.throws(
      () => generate({ world: named.world, name: "w" }),
      { code: "STELE-GEN-0002", message: /"memory" in .*: the memory of the core module and/ },
      target,
    )
    const bindings = (body: string): unknown => {
      const resolve = parseWit(`package a:b; interface i { ${body} } world w { export i; }`)
      try {
        return generate({ world: selectWorld(resolve).world, name: "w", notes: resolve.notes })
      } catch (error) {
        return error
      }
    }
    for (const [type, kind] of [
      ["stream<u8>", "stream"],
      ["stream", "stream"],
      ["future<u8>", "future"],
      ["future", "future"],
      ["error-context", "error-context"],
      ["map<string, u8>", "map"],
      ["list<u8, 4>", "fixed-list"],
    ])
      for (const place of [`x: ${type}`, `x: list<option<${type}>>`, `x: tuple<u8, result<_, ${type}>>`])
        for (const text of [
          `f: func(${place});`,
          `f: func() -> ${place.slice(3)};`,
          `record r { ${place} } f: func(r: r);`,
          `variant v { a(${place.slice(3)}) } f: func() -> v;`,
        ])
          t.match(bindings(text), { code: "STELE-GEN-0001", reason: { target, type: kind, where: /a:b\/i#f/ }, fix: /use a list/ }, `${target}: ${text}`)
    for (const text of ["type t = stream<u8>;", "record t { x: future<u8> }", "type t = map<string, u8>;"])
      t.match(bindings(text), { code: "STELE-GEN-0001", reason: { target, where: "a:b/i#t" } }, `${target}: ${text} that no function has`)
    t.match(bindings("f: async func();"), { code: "STELE-GEN-0001", message: /async function in .*a:b\/i#f/, fix: /leave out async/ })
    const every = `record a { %bool: bool } variant v { a(a), %tuple(tuple<u8, a>), %type } f: func(%func: v) -> result<list<a>>;`
    t.strictSame(bindings(every), bindings(every), target)
  }
})
