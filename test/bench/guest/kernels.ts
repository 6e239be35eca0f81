import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { compileAssemblyScript } from "../../../runtime/author/language/assemblyscript-job.ts"
import { compileTypeScript } from "../../../runtime/author/language/typescript-job.ts"
import { encodeComponent } from "../../../schemas/encode/mod.ts"
import { parseWit, selectWorld } from "../../../schemas/wit/parse/mod.ts"

export interface Kernel {
  readonly name: string
  /** Full export name. */
  readonly world: string
  readonly isFloat: boolean
  /** Largest slowdown of the deadline tier that meets the target. */
  readonly maximum: number
}

const list: ReadonlyArray<readonly [name: string, isFloat: boolean, maximum: number]> = [
  ["tight", false, 1.1],
  ["sieve", false, 1.1],
  ["mix", false, 1.1],
  ["six-opcode interpreter", false, 1.1],
  ["fib", false, 2],
  ["matmul", true, 1.1],
  ["mandelbrot", true, 1.1],
]

/** The last word of a kernel's name is its export. */
const exportOf = (name: string): string => name.slice(name.lastIndexOf(" ") + 1)

/** A real interpreter: recursive Fibonacci in JavaScript, run by QuickJS. */
const script = `export const kernels = { quickjs() { const fib = (n) => (n < 2 ? n : fib(n - 1) + fib(n - 2)); return fib(24) } }`

/** Components of kernels: one compiled by asc, one that carries QuickJS. */
export async function kernels(): Promise<ReadonlyArray<{ readonly bytes: Uint8Array; readonly kernels: ReadonlyArray<Kernel> }>> {
  const folder = mkdtempSync(join(tmpdir(), "stele-kernels-"))
  try {
    const functions = list.map(([name]) => `  ${exportOf(name)}: func() -> u32;`).join("\n")
    const { world } = selectWorld(parseWit(`package stele:bench;\ninterface kernels {\n${functions}\n}\nworld cpu { export kernels; }\n`), "cpu")
    // The `plugin` target of `asconfig.json`: the canonical ABI by hand.
    const core = await compileAssemblyScript({
      language: "assemblyscript",
      folder: fileURLToPath(new URL("../../..", import.meta.url)),
      entry: "test/bench/guest/kernels.as.ts",
      exports: { cabiRealloc: "cabi_realloc", ...Object.fromEntries(list.map(([name]) => [exportOf(name), `stele:bench/kernels#${exportOf(name)}`])) },
      flags: ["--target", "plugin"],
      asc: import.meta.resolve("assemblyscript/asc"),
    })
    const bytes = encodeComponent(world, core, { encoding: "utf16" })
    const entry = join(folder, "script.ts")
    writeFileSync(entry, script)
    const wit = join(folder, "script.wit")
    writeFileSync(wit, "package stele:bench;\ninterface kernels { quickjs: func() -> u32; }\nworld cpu { export kernels; }\n")
    const [rolldown, componentize] = ["rolldown", "componentize-qjs"].map((name) => import.meta.resolve(name)) as [string, string]
    const quickJs = await compileTypeScript({ language: "typescript", entry, wit, world: "cpu", exports: ["kernels"], rolldown, componentize })
    return [
      { bytes, kernels: list.map(([name, isFloat, maximum]) => ({ name, world: `stele:bench/kernels#${exportOf(name)}`, isFloat, maximum })) },
      { bytes: quickJs, kernels: [{ name: "QuickJS, recursive fib", world: "stele:bench/kernels#quickjs", isFloat: false, maximum: 1.1 }] },
    ]
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
