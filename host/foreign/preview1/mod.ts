/**
 * WASI preview 1 (`wasi_snapshot_preview1`, witx of WASI's `legacy/preview1`) and the snapshot before it (`wasi_unstable`),
 * commands and reactors, and core modules that import nothing. A command has one export, that of a component that is one;
 * a reactor's functions of numbers are exports under their own names.
 */
import { func, result } from "../../../schemas/wit/model.ts"
import type { ExportBinding } from "../../abi/mod.ts"
import { wasiVersion } from "../../capability/io.ts"
import type { Blueprint } from "../../component/blueprint.ts"
import { isSameSignature } from "../../../schemas/wasm/core-module.ts"
import { VerifyError } from "../../../schemas/error/verify.ts"
import { coreBlueprint, type ForeignExport, type Loaded, scalarType } from "../core.ts"
import type { RawImport } from "../raw.ts"
import { clockFunctions } from "./clock.ts"
import { fdFunctions } from "./fd.ts"
import { pathFunctions } from "./path.ts"
import { pollFunctions } from "./poll.ts"
import { processFunctions, procExit } from "./process.ts"
import { rawImports, type Snapshot } from "./serve.ts"

const importsOf = (snapshot: Snapshot): ReadonlyMap<string, RawImport> => {
  const functions = { ...clockFunctions, ...processFunctions, ...fdFunctions(snapshot), ...pathFunctions(snapshot), ...pollFunctions(snapshot) }
  return new Map([...rawImports(snapshot, functions), procExit(snapshot)].map((one) => [one.name, one]))
}

/** By module. Made when a module first imports one: most import the newer alone. */
const served = new Map<string, ReadonlyMap<string, RawImport>>()

/** What serves an import of a core module, when it is preview 1's; for other ABIs whose modules import it too. */
export function preview1Import(module: string, name: string): RawImport | undefined {
  if (module !== "wasi_snapshot_preview1" && module !== "wasi_unstable") return undefined
  let functions = served.get(module)
  if (functions === undefined) served.set(module, (functions = importsOf(module)))
  return functions.get(name)
}

/** What a command is called by, whatever it was built for. */
export const runExport = `wasi:cli/run@${wasiVersion}#run`

const nothing = { params: [], results: [] } as const

const succeeded = { tag: "ok", val: undefined } as const

/** `_start` answers when `main` returned, which is success; any other end is an exit or a trap. */
const runBinding = (): ExportBinding => ({
  signature: nothing,
  call(cx, core) {
    cx.instance.isTouched = true
    core()
    return succeeded
  },
  halves: {
    begin(cx, core) {
      cx.instance.isTouched = true
      return core()
    },
    finish: () => succeeded,
  },
})

const start = (main: Loaded, name: string): boolean => {
  const type = main.module.exports.get(name)
  if (type?.kind !== "func") return false
  if (!isSameSignature(type.type, nothing)) throw new VerifyError("ForeignImport", { import: name, abi: "WASI preview 1 with that signature" })
  return true
}

export function preview1Blueprint(main: Loaded): Blueprint {
  const abi = "WASI preview 1"
  if (start(main, "_start")) {
    const run: ForeignExport = { name: runExport, type: func({}, result()), core: "_start", binding: runBinding }
    return { ...coreBlueprint({ main, resolve: preview1Import, exports: [run], abi }), abi: "preview1", servesOneCall: true }
  }
  const exports: Array<ForeignExport> = []
  for (const [name, type] of main.module.exports) {
    if (type.kind !== "func" || name === "_initialize") continue
    const scalar = scalarType(type.type)
    if (scalar !== undefined) exports.push({ name, type: scalar, core: name })
  }
  const blueprint = coreBlueprint({ main, resolve: preview1Import, ...(start(main, "_initialize") ? { start: ["_initialize"] } : {}), exports, abi })
  return { ...blueprint, abi: "preview1" }
}
