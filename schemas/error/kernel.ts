import { closest } from "../value/closest.ts"
import { family, reason } from "./family.ts"

interface Operand {
  readonly kernel: string
  readonly operand: string
}

/** Kernels called with what they cannot work on. */
export class KernelError extends family("KernelError", {
  Length: reason<Operand & { readonly expected: number; readonly found: number }>({
    code: "STELE-KRN-0001",
    status: 400,
    exit: 2,
    isRetryable: false,
    message: (d) => `Cannot run ${d.kernel}: "${d.operand}" has ${d.found} numbers, not ${d.expected}`,
    fix: (d) => `pass as "${d.operand}" an array of ${d.expected} numbers`,
  }),
  Type: reason<Operand & { readonly expected: string; readonly found: string }>({
    code: "STELE-KRN-0002",
    status: 400,
    exit: 2,
    isRetryable: false,
    message: (d) => `Cannot run ${d.kernel}: "${d.operand}" is ${d.found}, not ${d.expected}`,
    fix: (d) => `pass as "${d.operand}" ${d.expected}`,
  }),
  Shape: reason<Operand & { readonly expected: string; readonly found: string }>({
    code: "STELE-KRN-0003",
    status: 400,
    exit: 2,
    isRetryable: false,
    message: (d) => `Cannot run ${d.kernel}: "${d.operand}" is ${d.found}, expected ${d.expected}`,
    fix: (d) => `give "${d.operand}" as ${d.expected}`,
  }),
  Freed: reason<Operand>({
    code: "STELE-KRN-0004",
    status: 409,
    exit: 6,
    isRetryable: false,
    message: (d) => `Cannot run ${d.kernel}: "${d.operand}" was freed, or is of other kernels`,
    fix: () => "keep an array until the last kernel that uses it has run, and use it with the kernels that made it",
  }),
  Memory: reason<{ readonly asked: number; readonly used: number; readonly limit: number }>({
    code: "STELE-KRN-0005",
    status: 413,
    exit: 7,
    isRetryable: false,
    message: (d) => `Cannot allocate ${d.asked} bytes: ${d.used} are used, and "bytesMax" is ${d.limit} bytes`,
    fix: () => "free arrays that are no longer needed, or raise bytesMax where the kernels are opened",
  }),
  Unknown: reason<{ readonly what: string; readonly name: string; readonly known: string }>({
    code: "STELE-KRN-0006",
    status: 400,
    exit: 2,
    isRetryable: false,
    message: (d) => `Cannot find the ${d.what} "${d.name}": there are ${d.known}`,
    fix: (d) => {
      const [near] = closest(String(d.name), String(d.known).split(", "))
      return near === undefined ? "use one of those" : `did you mean "${near}"? Otherwise use one of those`
    },
  }),
  Engine: reason<{ readonly detail: string }>({
    code: "STELE-KRN-0007",
    status: 501,
    exit: 69,
    isRetryable: false,
    message: (d) => `Cannot open the kernels: ${d.detail}`,
    fix: () => "use an engine with WebAssembly SIMD: Node 24, Deno 2.9, Bun 1.4 or a browser of 2023",
  }),
  DivisionByZero: reason<Operand & { readonly place: number }>({
    code: "STELE-KRN-0008",
    status: 400,
    exit: 1,
    isRetryable: false,
    message: (d) => `Cannot run ${d.kernel}: number ${d.place} of the result divides by a 0 of "${d.operand}"`,
    fix: (d) => `give "${d.operand}" no 0, or divide floats`,
  }),
  Index: reason<Operand & { readonly place: number; readonly found: number; readonly size: number }>({
    code: "STELE-KRN-0009",
    status: 400,
    exit: 1,
    isRetryable: false,
    message: (d) => `Cannot run ${d.kernel}: "${d.operand}" has ${d.found} at ${d.place}, of a dimension of ${d.size}`,
    fix: (d) => `give "${d.operand}" whole numbers from ${-d.size} to ${d.size - 1}, of which negative ones count from the end`,
  }),
}) {}
