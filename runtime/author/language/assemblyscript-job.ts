/** AssemblyScript → core module, in the compilers' thread, by the project's own `asc`. */
import { readFile } from "node:fs/promises"
import { join, relative, resolve, sep } from "node:path"

export interface AssemblyScriptJob {
  readonly language: "assemblyscript"
  readonly folder: string
  /** Path of the file to compile, inside the folder. */
  readonly entry: string
  /** Export names of the entry → names of the component model. */
  readonly exports: Readonly<Record<string, string>>
  /** Arguments before those of the project. */
  readonly flags: ReadonlyArray<string>
  /** Address of the project's `assemblyscript/asc`. */
  readonly asc: string
  /** Folders outside the project whose `*.as.ts` it may be made of, absolute; absent: wherever it says. */
  readonly reach?: ReadonlyArray<string> | undefined
  /** Tells tests where they stand: `test`, `expect` and `fail` of these files get their place as a last argument. */
  readonly placed?: ReadonlyArray<string>
}

interface Asc {
  createMemoryStream(): { toString(): string }
  main(args: ReadonlyArray<string>, options: object): Promise<{ readonly error: Error | null }>
}
interface Binaryen {
  getExportInfo(exported: number): { readonly value: string }
}
interface BinaryenModule {
  getExport(name: string): number
  addFunctionExport(internalName: string, externalName: string): number
  removeExport(name: string): void
}

/**
 * AssemblyScript cannot name an export like a WIT function: it is renamed after compilation. A class, because asc gives
 * binaryen to the prototype of transforms that are classes and to no other.
 */
const renameExports = (names: Readonly<Record<string, string>>) =>
  class RenameExports {
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

const isIn = (folder: string, path: string): boolean => path.startsWith(folder + sep)

/** What asc reads its sources by: a file outside of what the project may be made of is noted, and is not there. */
function reader(folder: string, reach: ReadonlyArray<string>, refused: Array<string>) {
  return async (name: string, base: string): Promise<string | null> => {
    const path = resolve(base, name)
    const text = await readFile(path, "utf8").catch(() => null)
    if (text === null || isIn(folder, path) || (path.endsWith(".as.ts") && reach.some((place) => isIn(place, path)))) return text
    refused.push(relative(folder, path))
    return null
  }
}

/** Functions that are told where they are called. */
export const told: ReadonlySet<string> = new Set(["test", "expect", "fail"])

/** What of the compiler's own module is used: its tree, walked as objects. */
interface Compiler {
  readonly Node: { createStringLiteralExpression(value: string, range: object): object }
  readonly NodeKind: Readonly<Record<"Call" | "Identifier", number>>
}
interface TreeNode {
  readonly kind: number
  readonly range: { readonly start: number; readonly source: { lineAt(at: number): number; columnAt(): number } }
}
interface CallNode extends TreeNode {
  readonly expression: TreeNode & { readonly text?: string }
  readonly args: Array<object>
}

/** AssemblyScript has no stack to read a caller's line from, so that each call says it. */
const placeCalls = ({ Node, NodeKind }: Compiler, placed: ReadonlySet<string>) =>
  class PlaceCalls {
    afterParse({ sources }: { readonly sources: ReadonlyArray<{ readonly normalizedPath: string; readonly statements: ReadonlyArray<object> }> }): void {
      for (const { normalizedPath, statements } of sources) {
        if (!placed.has(normalizedPath)) continue
        const todo: Array<unknown> = [...statements]
        const seen = new Set<unknown>()
        for (let node = todo.pop(); node !== undefined; node = todo.pop()) {
          if (typeof node !== "object" || node === null || seen.has(node)) continue
          seen.add(node)
          const call = node as CallNode
          // A range leads to the whole source.
          for (const [key, value] of Object.entries(node)) if (key !== "range" && typeof value === "object") todo.push(value)
          if (call.kind !== NodeKind.Call || call.expression.kind !== NodeKind.Identifier || !told.has(call.expression.text ?? "")) continue
          const { source, start } = call.range
          const line = source.lineAt(start)
          call.args.push(Node.createStringLiteralExpression(`${normalizedPath}:${line}:${source.columnAt()}`, call.range))
        }
      }
    }
  }

export async function compileAssemblyScript({ asc: address, entry, exports, flags, folder, placed = [], reach }: AssemblyScriptJob): Promise<Uint8Array> {
  const asc = (await import(address)) as Asc
  let core: Uint8Array | undefined
  const stderr = asc.createMemoryStream()
  const refused: Array<string> = []
  const { error } = await asc.main([entry, "--baseDir", folder, "--outFile", join("build", "core.wasm"), ...flags], {
    stderr,
    ...(reach === undefined ? {} : { readFile: reader(folder, reach, refused) }),
    writeFile: (_name: string, contents: Uint8Array | string) => {
      if (typeof contents !== "string") core = contents
    },
    transforms: [
      renameExports(exports),
      ...(placed.length === 0 ? [] : [placeCalls((await import(new URL("./assemblyscript.js", address).href)) as Compiler, new Set(placed))]),
    ],
  })
  if (refused.length > 0)
    throw new Error(`Cannot import ${refused.join(", ")}: a plugin of the house is made of its own files, plugins/sdk/*.as.ts and kernels/**/*.as.ts`)
  const said = stderr.toString().trimEnd()
  if (error !== null || core === undefined) throw new Error(said === "" ? (error?.message ?? "asc made nothing") : said)
  return core
}
