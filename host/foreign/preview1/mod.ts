/**
 * WASI preview 1 (`wasi_snapshot_preview1`, witx of WASI's `legacy/preview1`), commands and reactors, and core modules
 * that import nothing. A reactor's functions of numbers are exports under their own names.
 */
import type { Blueprint } from "../../component/blueprint.ts"
import { coreBlueprint, type ForeignExport, type Loaded, scalarType } from "../core.ts"
import type { RawImport } from "../raw.ts"

const served: ReadonlyMap<string, RawImport> = new Map(
  [
    {
      module: "wasi_snapshot_preview1",
      name: "sched_yield",
      type: { params: [], results: ["i32"] },
      call: () => 0,
    } satisfies RawImport,
  ].map((one) => [one.name, one]),
)

/** What serves an import of a core module, when it is preview 1's; for other ABIs whose modules import it too. */
export const preview1Import = (module: string, name: string): RawImport | undefined => (module === "wasi_snapshot_preview1" ? served.get(name) : undefined)

export function preview1Blueprint(main: Loaded): Blueprint {
  const exports: Array<ForeignExport> = []
  for (const [name, type] of main.module.exports) {
    if (type.kind !== "func" || name === "_initialize") continue
    const scalar = scalarType(type.type)
    if (scalar !== undefined) exports.push({ name, type: scalar, core: { kind: "export", instance: 0, name } })
  }
  return coreBlueprint({
    main,
    resolve: preview1Import,
    ...(main.module.exports.get("_initialize")?.kind === "func" ? { start: ["_initialize"] } : {}),
    exports,
    abi: "WASI preview 1",
  })
}
