/**
 * Turns plugin sources into components, in this process and without a network: AssemblyScript through `asc` and
 * wit-component, TypeScript through QuickJS. The output depends on the sources and the tools' versions only.
 */
import { readFile } from "node:fs/promises"
import { stripTypeScriptTypes } from "node:module"
import { relative, resolve } from "node:path"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("../..", import.meta.url))

/** What both toolchains need to know of a plugin. */
export interface Source {
  /** Absolute path of the entry file. */
  readonly path: string
  /** Absolute path of a self-contained WIT file (see `mergeWit`). */
  readonly witPath: string
  /** Full name of the world: `stele:example-text/text-stats@0.1.0`. */
  readonly world: string
}

/**
 * One self-contained WIT text from a main file and the packages it uses, which become nested packages:
 * path arguments of wasm-tools as compiled to WebAssembly find no files, so everything is passed as text.
 */
export async function mergeWit(paths: ReadonlyArray<string>): Promise<string> {
  const [main = "", ...packages] = await Promise.all(paths.map((path) => readFile(path, "utf8")))
  const nested = packages.map((text) => {
    const statement = /^package\s+([^;{]+);/m
    if (!statement.test(text)) throw new Error('Cannot nest a WIT file as a package: it has no "package" statement')
    return `${text.replace(statement, "package $1 {").trimEnd()}\n}\n`
  })
  return [main, ...nested].join("\n")
}

/** What a transform needs of binaryen: AssemblyScript does not export its copy's types. */
interface BinaryenModule {
  getExport(name: string): number
  addFunctionExport(internalName: string, externalName: string): number
  removeExport(externalName: string): void
}
interface Binaryen {
  getExportInfo(exported: number): { readonly value: string }
}

/**
 * AssemblyScript can name an export like a WIT function only after compilation: `names` maps its own export names to
 * those of the component model. Everything else that it exports stays. A class, because asc gives binaryen to the
 * prototype of transforms that are classes and to no other.
 */
function renameExports(names: Readonly<Record<string, string>>) {
  return class RenameExports {
    declare readonly binaryen: Binaryen
    afterCompile(module: BinaryenModule): void {
      for (const [from, to] of Object.entries(names)) {
        const exported = module.getExport(from)
        if (exported === 0) throw new Error(`Cannot rename export "${from}": the module has none`)
        module.addFunctionExport(this.binaryen.getExportInfo(exported).value, to)
        module.removeExport(from)
      }
    }
  }
}

/** Compiles an AssemblyScript file with the `plugin` target of `asconfig.json`; `exports` maps its exports to WIT names. */
export async function assemblyScriptComponent(source: Source, exports: Readonly<Record<string, string>>): Promise<Uint8Array> {
  const asc = await import("assemblyscript/asc")
  const entry = relative(root, source.path)
  let core: Uint8Array | undefined
  const stderr = asc.createMemoryStream()
  const options = {
    stderr,
    writeFile: (_name: string, contents: Uint8Array | string) => {
      if (typeof contents !== "string") core = contents
    },
    transforms: [renameExports({ cabiRealloc: "cabi_realloc", ...exports })],
  } as unknown as NonNullable<Parameters<typeof asc.main>[1]>
  const { error } = await asc.main([entry, "--baseDir", root, "--target", "plugin", "--outFile", "core.wasm"], options)
  if (error !== null || core === undefined) throw new Error(`Cannot compile "${entry}": ${stderr.toString()}${error?.message ?? ""}`)
  const tools = await import("@bytecodealliance/jco-transpile/wasm-tools")
  const witSource = await readFile(source.witPath, "utf8")
  return tools.componentNew(await tools.componentEmbed({ binary: core, witSource, world: source.world, stringEncoding: "utf16" }))
}

/**
 * Compiles a TypeScript file into a component that carries QuickJS. Synchronous, size-optimised and with WASI stubbed
 * out it is 1.1 MB and imports nothing but what its world names.
 */
export async function quickJsComponent(source: Source): Promise<Uint8Array> {
  const { componentize } = await import("componentize-qjs")
  const jsSource = stripTypeScriptTypes(await readFile(source.path, "utf8"))
  const { component } = await componentize({ witPath: resolve(source.witPath), world: source.world, jsSource, sync: true, stubWasi: true, optSize: true })
  return new Uint8Array(component)
}
