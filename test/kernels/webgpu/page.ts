/** In a page: hands a device of the browser's own to the library, and tells the outcome; or that there is no adapter. */
import { openWebGpu } from "../../../kernels/webgpu/device.ts"
import { outcomeOf, type Outcome } from "./outcome.ts"

declare global {
  /** Of all operations where none are named. */
  var outcomeHere: (names: ReadonlyArray<string>) => Promise<Outcome | string>
}

globalThis.outcomeHere = async (names) => {
  const adapter = await navigator.gpu?.requestAdapter()
  if (adapter === null || adapter === undefined) return "no adapter"
  return outcomeOf(openWebGpu(await adapter.requestDevice(), { info: adapter.info, isOwned: true }), names.length === 0 ? undefined : names)
}
