/** World and source → core module and component, with the generator under test and `asc`, which stays loaded. */
import type { Transform } from "assemblyscript/transform"
import { type AssemblyScriptBindings, assemblyScriptBindings } from "../../../schemas/generate/assemblyscript/mod.ts"
import { parseWit, selectWorld } from "../../../schemas/wit/parse/mod.ts"

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

/** Bindings and a plugin's source, compiled in memory. Throws what the compiler says. */
export async function compileBindings({ exports, files }: AssemblyScriptBindings, source: string, level = "-O2"): Promise<Uint8Array> {
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
