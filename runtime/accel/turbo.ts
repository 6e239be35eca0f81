/** V8 can join two operations of 128 bits into one of 256 where the processor has AVX2. It is an experiment of V8's, and a flag of the whole process: off unless an embedder asks. */
import { KernelError } from "../../schemas/error/kernel.ts"
import { platform } from "../../host/platform/mod.ts"

/**
 * Turns it on for all WebAssembly that this process compiles from now on, plugins too; it stays on. Results are the same bits, which self-tests compare before an
 * operation first runs. Products of matrices are faster, and some short loops slower: measure what you run.
 * @throws KernelError `Engine` on engines other than Node's
 */
export function enableTurbo(): void {
  if (platform.name !== "node") throw new KernelError("Engine", { detail: `turbo is a flag of Node's V8, and this is ${platform.name}` })
  process.getBuiltinModule("node:v8").setFlagsFromString("--experimental-wasm-revectorize")
}
