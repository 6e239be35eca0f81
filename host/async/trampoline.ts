/**
 * How a task on a stack of its own tells that its function has returned. The promise of a `promising` export settles some
 * microtasks later; a caller that is waiting to hear how far the task came needs to know at once. So the function is
 * called through a small module:
 *
 *     (func (export "run") (param …) (call $done (call $core (local.get …))))
 */
import type { CoreSignature } from "../../schemas/wit/layout.ts"
import { leb, section, signature, text, vector } from "../call/shim.ts"
import type { CoreFunction } from "../abi/mod.ts"

const modulesMax = 256
const modules = new Map<string, WebAssembly.Module>()

function moduleOf({ params, results }: CoreSignature): WebAssembly.Module {
  const key = `${params.join()}>${results.join()}`
  let module = modules.get(key)
  if (module !== undefined) return module
  const code = [0x00, ...params.flatMap((_, i) => [0x20, ...leb(i)]), 0x10, 0x00, 0x10, 0x01, 0x0b]
  const types = [
    { params, results },
    { params: results, results: [] },
    { params, results: [] },
  ]
  module = new WebAssembly.Module(
    Uint8Array.from([
      ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
      ...section(1, types.map(signature)),
      ...section(2, [
        [...text("t"), ...text("core"), 0x00, 0x00],
        [...text("t"), ...text("done"), 0x00, 0x01],
      ]),
      ...section(3, [[0x02]]),
      ...section(7, [[...text("run"), 0x00, 0x02]]),
      ...section(10, [vector(code.map((byte) => [byte]))]),
    ]),
  )
  // Guests choose the signatures: what they need together is a few dozen.
  if (modules.size >= modulesMax) modules.clear()
  modules.set(key, module)
  return module
}

/** `core`, which answers `done` instead of its caller. */
export const trampoline = (core: CoreFunction, type: CoreSignature, done: (returned: never) => void): CoreFunction =>
  new WebAssembly.Instance(moduleOf(type), { t: { core, done } }).exports["run"] as CoreFunction
