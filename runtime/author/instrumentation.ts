/** What metering adds to a component's code: how many bytes, and how long a host takes to add them. */
import { blueprintOf } from "../../host/link/prepare.ts"
import { rewriteCoreModule } from "../../host/meter/rewrite.ts"
import { type LoadOptions, resolveLimits } from "../../host/options.ts"

export interface Instrumentation {
  /** The code of all core modules as it is, and as it runs. */
  readonly bytes: number
  readonly meteredBytes: number
  readonly ms: number
}

const pageBytes = 65_536
/** Times that it is done: the first ones are slower, as this program's own code is compiled meanwhile. */
const timesMax = 5
const timesMsMax = 200

/** Rewrites the core modules as a load does, alone. @throws what a load refuses */
export async function instrumentation(component: Uint8Array, { limits: given, metering = "deadline" }: LoadOptions): Promise<Instrumentation> {
  const limits = resolveLimits(given)
  const { coreModules } = await blueprintOf(component, limits, {
    loadForeign: () => import("../../host/foreign/mod.ts"),
    loadAsync: () => import("../../host/async/mod.ts"),
  })
  const rewritten = (): number => {
    let bytes = 0
    for (const core of coreModules)
      bytes += rewriteCoreModule(core.bytes, core.module, {
        tier: metering === "yield" ? "fuel" : metering,
        injectedModule: "stele",
        memoryPagesMax: Math.floor(limits.memoryBytesMax / pageBytes),
        tableElementsMax: limits.tableElementsMax,
        functionBodyBytesMax: limits.functionBodyBytesMax,
        validate: () => {},
      }).bytes.length
    return bytes
  }
  const startedMs = performance.now()
  let meteredBytes = 0
  let ms = Infinity
  for (let times = 0; times < timesMax && performance.now() - startedMs < timesMsMax; times++) {
    const fromMs = performance.now()
    meteredBytes = rewritten()
    ms = Math.min(ms, performance.now() - fromMs)
  }
  return { bytes: coreModules.reduce((sum, { bytes }) => sum + bytes.length, 0), meteredBytes, ms }
}
