/** Modules as they are shipped, and how one gets into a memory. */
import { KernelError } from "../../schemas/error/kernel.ts"
import { fromBase64 } from "../../schemas/value/base64.ts"

/**
 * `bitexact`: the same bits on every engine and processor, those of the reference. `fast`: a multiplication and the addition after it may be one
 * rounding, and which NaN is written is the engine's choice.
 */
export type Mode = "bitexact" | "fast"
export const modes: ReadonlyArray<Mode> = ["bitexact", "fast"]

/** The two builds of a source, each loaded when it is asked for. */
export type Builds = Readonly<Record<Mode, () => Promise<{ readonly wasm: string }>>>

/** A module as it was before it was deflated and written as base64. */
export async function unpacked(wasm: string): Promise<Uint8Array<ArrayBuffer>> {
  const packed = new Blob([fromBase64(wasm) as Uint8Array<ArrayBuffer>]).stream().pipeThrough(new DecompressionStream("deflate-raw"))
  return new Uint8Array(await new Response(packed).arrayBuffer())
}

/** The module of a source in the build of a mode. @throws KernelError `Engine` without WebAssembly SIMD */
export async function moduleBytes(builds: Builds, mode: Mode): Promise<Uint8Array<ArrayBuffer>> {
  const bytesOf = async (of: Mode) => unpacked((await builds[of]()).wasm)
  let module = await bytesOf(mode)
  // Where an engine has no relaxed SIMD the exact build is as good as `fast` gets.
  if (mode === "fast" && !WebAssembly.validate(module)) module = await bytesOf("bitexact")
  if (!WebAssembly.validate(module)) throw new KernelError("Engine", { detail: "this engine has no WebAssembly SIMD" })
  return module
}

/** The exports of a source in the build of a mode. @throws KernelError `Engine` without WebAssembly SIMD */
export async function instantiated<Exports>(builds: Builds, mode: Mode, memory: WebAssembly.Memory): Promise<Exports> {
  const { instance } = await WebAssembly.instantiate(await moduleBytes(builds, mode), { env: { memory } })
  return instance.exports as Exports
}
