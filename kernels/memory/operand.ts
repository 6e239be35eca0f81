/** Operands are compared with what a kernel needs before it runs: WebAssembly would read whatever lies there. */
import { KernelError } from "../../schemas/error/kernel.ts"
import type { KernelMemory, Numbers } from "./memory.ts"

/** What JavaScript lets a caller leave out. @throws KernelError `Shape` */
export function given<A extends object>(kernel: string, operand: string, of: A): A {
  if (typeof of !== "object" || of === null) throw new KernelError("Shape", { kernel, operand, expected: "an object with its sizes", found: String(of) })
  return of
}

/** What JavaScript may have passed for numbers. */
function foundType(of: Numbers | undefined): string {
  if (of === undefined) return "missing"
  return of?.type ?? "no array of the kernels' memory, such as kernels.numbers() makes"
}

/** Where an operand lies. @throws KernelError `Type`, `Length`, `Freed` */
export function addressOf(memory: KernelMemory, kernel: string, operand: string, of: Numbers, length: number, type = "f32"): number {
  if (of?.type !== type) throw new KernelError("Type", { kernel, operand, expected: type, found: foundType(of) })
  if (of.length !== length) throw new KernelError("Length", { kernel, operand, expected: length, found: of.length })
  if (!of.isIn(memory)) throw new KernelError("Freed", { kernel, operand })
  return of.at
}

/** @throws KernelError `Shape` */
export function checkSizes(kernel: string, sizes: Readonly<Record<string, number>>): void {
  for (const [operand, size] of Object.entries(sizes))
    if (!(Number.isSafeInteger(size) && size >= 0 && size < 2 ** 31))
      throw new KernelError("Shape", { kernel, operand, expected: "a whole number from 0 to 2147483647", found: String(size) })
}

/** How many rows of `n` numbers an array has. @throws KernelError `Shape` */
export function rowsOf(kernel: string, x: Numbers, n: number, operand = "x"): number {
  checkSizes(kernel, { n })
  if (n === 0 ? x.length !== 0 : x.length % n !== 0)
    throw new KernelError("Shape", { kernel, operand: "n", expected: `a divisor of the ${x.length} numbers of "${operand}"`, found: String(n) })
  return n === 0 ? 0 : x.length / n
}
