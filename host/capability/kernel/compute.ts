/**
 * `stele:kernel/compute` (`schemas/wit/stele/kernel.wit`): one operation of the table on numbers that are copied in and out, in `bitexact`. It answers
 * when it has run, so it serves guests that cannot wait.
 */
import { KernelError } from "../../../schemas/error/kernel.ts"
import { LimitError } from "../../../schemas/error/limit.ts"
import { func, list, primitive, record, result, tuple, variant } from "../../../schemas/wit/model.ts"
import { checkOperands, type Operand, type Operation, operationOf, type Shape, shapeOf, type Values } from "../../../kernels/accelerate/operation.ts"
import type { InferenceModule } from "../../../kernels/inference.ts"
import { builds, Kernels } from "../../../kernels/kernels.ts"
import { bytesMaxOfAll, KernelMemory, type Numbers } from "../../../kernels/memory/memory.ts"
import { type Builds, moduleBytes } from "../../../kernels/memory/module.ts"
import { builds as trainingBuilds, TrainingKernels, type TrainingModule } from "../../../kernels/training.ts"
import type { CallContext, HostInterface } from "../capability.ts"
import type { GrantSet } from "../grant.ts"
import { err, hostInterface, ok, type Result, serve } from "../serve.ts"

type Given = { readonly tag: "floats"; readonly val: Float32Array } | { readonly tag: "integers"; readonly val: Int32Array }
type Operands = ReadonlyArray<readonly [name: string, values: Given]>
type Failure =
  | { readonly tag: "access-denied"; readonly val: string }
  | { readonly tag: "invalid"; readonly val: { readonly code: string; readonly message: string } }

const typeOf = (of: Given): "f32" | "i32" => (of.tag === "floats" ? "f32" : "i32")
const given = (values: Values): Given => (values instanceof Float32Array ? { tag: "floats", val: values } : { tag: "integers", val: values })
const numbersIn = (operands: ReadonlyArray<Operand>): number => operands.reduce((all, { length }) => all + length, 0)

/** Of each turn of the loops around a kernel, what it takes besides arithmetic, in additions. */
const turnCost = 200

/** What a run takes, in additions and multiplications: by the formula of its operation, and what its loops take where there is nothing to add in them. */
export function workOf(operation: Operation, shape: Shape): number {
  const { batch = 1, groups = 1, heads = 1, k = 1, rows = 1 } = shape
  // A size of 0 leaves no arithmetic, and loops over the other sizes all the same.
  const ones = Object.fromEntries(Object.entries(shape).map(([name, size]) => [name, Math.max(1, size)]))
  const arithmetic = operation.arithmetic(shape) || operation.arithmetic(ones) || Object.values(ones).reduce((all, size) => all * size)
  // Each of the greatest sinks through a heap.
  const kept = operation.name === "topk" ? k : 1
  return arithmetic + turnCost * batch * groups * heads * rows * kept
}

/** The kernels over one memory. */
interface Opened {
  readonly kernels: Kernels
  readonly training: TrainingKernels
}

/** Computes in memory of the plugin's own, and leaves nothing there. @throws KernelError `Memory` */
function computed({ kernels, training }: Opened, operation: Operation, shape: Shape, inputs: ReadonlyMap<string, Given>): Operands {
  const arrays: Array<Numbers> = []
  const kept = <A extends Numbers>(made: A): A => {
    arrays.push(made)
    return made
  }
  const made = (type: "f32" | "i32", length: number): Numbers<"f32" | "i32"> => kept(type === "f32" ? kernels.zeros(length) : kernels.integers(length))
  try {
    const from = Object.fromEntries(
      [...inputs].map(([name, values]) => {
        const numbers = made(typeOf(values), values.val.length)
        numbers.array.set(values.val)
        return [name, numbers]
      }),
    )
    const outputs = operation.outputs(shape).map(({ length, name, type = "f32" }) => [name, made(type, length)] as const)
    operation.simd?.(kernels, from, Object.fromEntries(outputs), shape)
    operation.training?.(training, from, Object.fromEntries(outputs), shape)
    return outputs.map(([name, numbers]) => [name, given(numbers.array.slice())])
  } finally {
    for (const array of arrays) array.free()
  }
}

/** What serves the interface, with the module compiled. @throws (rejects) KernelError `Engine` */
export async function computeInterfaces(): Promise<ReadonlyArray<HostInterface>> {
  const compiled = async (of: Builds) => WebAssembly.compile(await moduleBytes(of, "bitexact"))
  const [inference, gradients] = await Promise.all([compiled(builds), compiled(trainingBuilds)])
  // A memory for each plugin: what one left there no mistake of a kernel can show to another.
  const opened = new WeakMap<GrantSet, Opened>()

  const kernelsOf = ({ grants, limits }: CallContext): Opened => {
    const known = opened.get(grants)
    if (known !== undefined) return known
    const memory = new KernelMemory(Math.min(limits.kernelBytesMax, bytesMaxOfAll - 65_536))
    const exportsOf = (module: WebAssembly.Module) => new WebAssembly.Instance(module, { env: { memory: memory.memory } }).exports as unknown
    const kernels = new Kernels("bitexact", memory, exportsOf(inference) as InferenceModule)
    const made = { kernels, training: new TrainingKernels(kernels, exportsOf(gradients) as TrainingModule) }
    opened.set(grants, made)
    return made
  }

  function run(call: CallContext, name: string, values: ReadonlyArray<readonly [string, number]>, inputs: Operands): Result<Operands, Failure> {
    const { kernelBytesMax: limit } = call.limits
    try {
      const operation = operationOf(name)
      const grant = call.grants.match("kernel", name)
      if (grant === undefined) {
        call.denied(`kernel:${name}`)
        return err({ tag: "access-denied", val: `kernel:${name}` })
      }
      call.spend("kernelRunsMax", 1)
      const shape = shapeOf(operation, Object.fromEntries(values))
      const operands = new Map(inputs)
      checkOperands(operation, shape, new Map(inputs.map(([of, values]) => [of, { type: typeOf(values), length: values.val.length }])))
      const outputs = operation.outputs(shape)
      const bytes = 4 * (numbersIn(operation.inputs(shape)) + numbersIn(outputs))
      if (bytes > limit) throw new LimitError("kernelBytesMax", { limit, actual: bytes })
      call.used(grant, bytes)
      if (outputs.every(({ length }) => length === 0))
        return ok(outputs.map(({ name: of, type }) => [of, given(type === "i32" ? new Int32Array() : new Float32Array())]))
      call.spend("kernelWorkMax", workOf(operation, shape))
      return ok(computed(kernelsOf(call), operation, shape, operands))
    } catch (error) {
      if (!(error instanceof KernelError)) throw error
      // Panels and the like are no operands, and count all the same.
      if (error.reason._tag === "Memory") throw new LimitError("kernelBytesMax", { limit, actual: error.reason.used + error.reason.asked }, { cause: error })
      return err({ tag: "invalid", val: { code: error.code, message: error.message } })
    }
  }

  const { f32, f64, s32, string } = primitive
  const numbers = variant({ floats: list(f32), integers: list(s32) })
  const problem = record({ code: string, message: string })
  const error = variant({ "access-denied": string, invalid: problem })
  const operands = list(tuple(string, numbers))
  return [
    hostInterface("stele:kernel/compute", "0.1.0", {
      types: { numbers, problem, error },
      functions: { run: serve(func({ operation: string, shape: list(tuple(string, f64)), inputs: operands }, result(operands, error)), run) },
    }),
  ]
}
