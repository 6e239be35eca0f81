import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assemblyScriptComponent, quickJsComponent } from "../../../runtime/build/component.ts"

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
    const witPath = join(folder, "kernels.wit")
    writeFileSync(
      witPath,
      `package stele:bench;\ninterface kernels {\n${list.map(([name]) => `  ${exportOf(name)}: func() -> u32;`).join("\n")}\n}\nworld cpu { export kernels; }\n`,
    )
    const bytes = await assemblyScriptComponent(
      { path: join(import.meta.dirname, "kernels.as.ts"), witPath, world: "cpu" },
      Object.fromEntries(list.map(([name]) => [exportOf(name), `stele:bench/kernels#${exportOf(name)}`])),
    )
    const scriptPath = join(folder, "script.ts")
    writeFileSync(scriptPath, script)
    const scriptWit = join(folder, "script.wit")
    writeFileSync(scriptWit, "package stele:bench;\ninterface kernels { quickjs: func() -> u32; }\nworld cpu { export kernels; }\n")
    const quickJs = await quickJsComponent({ path: scriptPath, witPath: scriptWit, world: "cpu" })
    return [
      { bytes, kernels: list.map(([name, isFloat, maximum]) => ({ name, world: `stele:bench/kernels#${exportOf(name)}`, isFloat, maximum })) },
      { bytes: quickJs, kernels: [{ name: "QuickJS, recursive fib", world: "stele:bench/kernels#quickjs", isFloat: false, maximum: 1.1 }] },
    ]
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
