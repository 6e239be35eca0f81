/** World and source → core module and component, with the generator under test and `asc`, which stays loaded. */
import { createHash } from "node:crypto"
import { mkdir, readFile, rename, utimes, writeFile } from "node:fs/promises"
import { fileURLToPath } from "node:url"
import type { Transform } from "assemblyscript/transform"
import { type AssemblyScriptBindings, assemblyScriptBindings } from "../../../schemas/generate/assemblyscript/mod.ts"
import { parseWit, selectWorld } from "../../../schemas/wit/parse/mod.ts"
import { isFull } from "../../seed.ts"

const { version } = JSON.parse(await readFile(fileURLToPath(import.meta.resolve("assemblyscript/package.json")), "utf8")) as { readonly version: string }

interface Binaryen {
  getExportInfo(exported: number): { readonly value: string }
}
interface Module {
  getExport(name: string): number
  addFunctionExport(internal: string, external: string): number
  removeExport(name: string): void
}

export interface Built {
  readonly core: Uint8Array
  readonly component: Uint8Array
  readonly files: ReadonlyArray<{ readonly path: string; readonly text: string }>
}

/** What was compiled before: a whole run of the tests deletes what none has used for a week (`test/run.ts`). */
const folder = fileURLToPath(new URL("../../../.cache/guests", import.meta.url))

/** Bindings and a plugin's source, compiled in memory, or before from the same texts by the same compiler. Throws what the compiler says. */
export async function compileBindings({ exports, files }: AssemblyScriptBindings, source: string, level = "-O2"): Promise<Uint8Array> {
  const given = JSON.stringify([version, exports, files, source, level])
  const path = `${folder}/${createHash("sha256").update(given).digest("hex")}.wasm`
  const known = await readFile(path).catch(() => undefined)
  if (known !== undefined) {
    await utimes(path, new Date(), new Date())
    return known
  }
  const core = await compile({ exports, files }, source, level)
  // Random worlds of a full run come once.
  if (isFull) return core
  await mkdir(folder, { recursive: true })
  await writeFile(`${path}.${process.pid}`, core)
  await rename(`${path}.${process.pid}`, path)
  return core
}

async function compile({ exports, files }: Pick<AssemblyScriptBindings, "exports" | "files">, source: string, level: string): Promise<Uint8Array> {
  class Rename {
    declare readonly binaryen: Binaryen
    afterCompile(module: Module): void {
      for (const [from, to] of Object.entries(exports)) {
        module.addFunctionExport(this.binaryen.getExportInfo(module.getExport(from)).value, to)
        module.removeExport(from)
      }
    }
  }
  const texts = new Map([...files.map(({ path, text }) => [`bindings/${path}`, text] as const), ["src/plugin.ts", source]])
  const asc = await import("assemblyscript/asc")
  let core: Uint8Array | undefined
  const stderr = asc.createMemoryStream()
  const options = {
    stderr,
    readFile: (name: string) => texts.get(name.replaceAll("\\", "/")) ?? null,
    listFiles: () => [],
    writeFile: (_name: string, contents: Uint8Array | string) => {
      if (typeof contents !== "string") core = contents
    },
    transforms: [Rename as unknown as Transform],
  } as unknown as NonNullable<Parameters<typeof asc.main>[1]>
  const flags = `--runtime incremental --exportStart _initialize ${level} --use abort=bindings/runtime/abort`.split(" ")
  const { error } = await asc.main(["bindings/exports.ts", "--outFile", "core.wasm", ...flags], options)
  if (error !== null || core === undefined) throw new Error(`${stderr.toString()}${error?.message ?? ""}`)
  return core
}

/** With wit-component as an independent encoder. `source` is `src/plugin.ts`. */
export async function buildAssemblyScript(wit: string, source: string): Promise<Built> {
  const resolve = parseWit(wit)
  const { world, full } = selectWorld(resolve)
  const bindings = assemblyScriptBindings({ world, name: full, notes: resolve.notes })
  const core = await compileBindings(bindings, source)
  const tools = await import("@bytecodealliance/jco-transpile/wasm-tools")
  const embedded = await tools.componentEmbed({ binary: core, witSource: wit, world: full, stringEncoding: "utf16" })
  return { core, component: new Uint8Array(await tools.componentNew(embedded)), files: bindings.files }
}
