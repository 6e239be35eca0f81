import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assemblyScriptComponent } from "../../../runtime/build/component.ts"

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
  ["interpreter", false, 1.1],
  ["fib", false, 2],
  ["matmul", true, 1.1],
  ["mandelbrot", true, 1.1],
]

/** One component with every kernel, compiled by asc. */
export async function kernels(): Promise<{ readonly bytes: Uint8Array; readonly kernels: ReadonlyArray<Kernel> }> {
  const folder = mkdtempSync(join(tmpdir(), "stele-kernels-"))
  try {
    const witPath = join(folder, "kernels.wit")
    writeFileSync(witPath, `package stele:bench;\ninterface kernels {\n${list.map(([name]) => `  ${name}: func() -> u32;`).join("\n")}\n}\nworld cpu { export kernels; }\n`)
    const bytes = await assemblyScriptComponent(
      { path: join(import.meta.dirname, "kernels.as.ts"), witPath, world: "cpu" },
      Object.fromEntries(list.map(([name]) => [name, `stele:bench/kernels#${name}`])),
    )
    return { bytes, kernels: list.map(([name, isFloat, maximum]) => ({ name, world: `stele:bench/kernels#${name}`, isFloat, maximum })) }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
