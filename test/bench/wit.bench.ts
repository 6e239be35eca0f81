/**
 * `npm run bench -- wit`: reading all of WASI 0.2 as jco ships it, seven packages and what they need of each other, and
 * what wasm-tools take for one of their worlds. Generators are timed with them.
 */
import { spawnSync } from "node:child_process"
import { join } from "node:path"
import { componentEmbed } from "@bytecodealliance/jco-transpile/wasm-tools"
import { parseWit, printWit } from "../../schemas/wit/parse/mod.ts"
import { shippedPackages } from "../schemas/wit-packages.ts"
import { compare, compareAsync, type Row, row, summarize } from "./measure.ts"

const root = join(import.meta.dirname, "../..")

/** A process that has read nothing: loading the parser is not counted, its first use is. */
const program = `
import { parseWit } from "./schemas/wit/parse/mod.ts"
import { shippedPackages } from "./test/schemas/wit-packages.ts"
const input = shippedPackages().get("0.2.12/wasi-http")
const start = performance.now()
parseWit(input)
process.stdout.write(String(performance.now() - start))
`
/** Bindings of a world that has all of it, both ways. */
const generating = `
import { assemblyScriptBindings } from "./schemas/generate/assemblyscript/mod.ts"
import { parseWit, selectWorld } from "./schemas/wit/parse/mod.ts"
import { wasiWit } from "./test/schemas/wasi-wit.ts"
const text = await wasiWit()
const start = performance.now()
const resolve = parseWit(text)
const { full, world } = selectWorld(resolve, "test:all/all")
assemblyScriptBindings({ world, name: full, notes: resolve.notes })
process.stdout.write(String(performance.now() - start))
`
const cold = (code: string): number =>
  Number(spawnSync(process.execPath, ["--input-type=module-typescript", "-e", code], { cwd: root, encoding: "utf8" }).stdout)

export async function bench(say: (line: string) => void): Promise<ReadonlyArray<Row>> {
  const input = shippedPackages().get("0.2.12/wasi-http") ?? []
  const rows: Array<Row> = []
  say("all of WASI 0.2, first in its process…")
  const first = summarize(Array.from({ length: 7 }, () => cold(program)))
  rows.push(
    row("WIT of WASI 0.2, seven packages: parse and resolve, first in its process", "ms", { ours: first }, [{ name: "ms", ratio: first.median, atMost: 150 }]),
  )
  const generated = summarize(Array.from({ length: 7 }, () => cold(generating)))
  rows.push(row("the same with bindings for AssemblyScript", "ms", { ours: generated }, [{ name: "ms", ratio: generated.median, atMost: 300 }]))
  say("all of WASI 0.2, warm…")
  const resolve = parseWit(input)
  const warm = compare({ ours: () => parseWit(input) })
  rows.push(row("the same, warm", "µs", warm, []))
  rows.push(row("the same, printed", "µs", compare({ ours: () => printWit(resolve) }), []))
  say("against wasm-tools…")
  const text = printWit(resolve)
  const against = await compareAsync({
    ours: async () => parseWit(text),
    "wasm-tools, one world encoded": async () => componentEmbed({ dummy: true, witSource: text, world: "proxy" } as Parameters<typeof componentEmbed>[0]),
  })
  rows.push(row("one file of all of them: read here, read and encoded by wasm-tools as jco ships them", "µs", against, []))
  return rows
}
