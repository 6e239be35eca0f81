/**
 * The engine `wasmtime`: a real wasmtime in a process of its own, the published Python package driven by a few lines of
 * Python. It stops a guest by its epoch, caps memory, tables and stack, and keeps directories read-only.
 */
import { execFile } from "node:child_process"
import { EngineError } from "../../schemas/error/engine.ts"
import type { Engine } from "../../host/call/engine.ts"
import { check, type Promises } from "./check.ts"
import { EngineExecutor } from "./executor.ts"
import { onPath, runProcess } from "./process.ts"
import { wasmtimeProgram } from "./wasmtime-program.ts"

const promises: Promises = { name: "wasmtime", readOnly: true, isolations: ["process"], limits: ["stackBytesMax"] }

/** Isolated: neither variables nor the working directory change what is imported. */
const flags = ["-I", "-B"]

const probe = "import importlib.metadata, wasmtime; print(importlib.metadata.version('wasmtime'))"

const versionOf = (python: string): Promise<string | undefined> =>
  new Promise((resolve) =>
    execFile(python, [...flags, "-c", probe], { env: {}, timeout: 30_000 }, (error, stdout) => resolve(error === null ? stdout.trim() : undefined)),
  )

export interface Wasmtime {
  readonly python: string
  readonly version: string
}

let found: Promise<Wasmtime | undefined> | undefined

/** A Python that has the package: the one that `STELE_WASMTIME_PYTHON` names, else the first on the path. Looked for once. */
export const findWasmtime = (): Promise<Wasmtime | undefined> => (found ??= find())

async function find(): Promise<Wasmtime | undefined> {
  const named = process.env["STELE_WASMTIME_PYTHON"]
  for (const python of named === undefined || named === "" ? onPath(["python3", "python"]) : [named]) {
    const version = await versionOf(python)
    if (version !== undefined) return { python, version }
  }
  return undefined
}

export const wasmtime: Engine = {
  name: promises.name,
  async open(plugin) {
    check(promises, plugin)
    const here = await findWasmtime()
    if (here === undefined)
      throw new EngineError("Unavailable", {
        engine: promises.name,
        detail: "no Python here has the package wasmtime",
        advice: "pip install wasmtime, and name that Python in STELE_WASMTIME_PYTHON",
      })
    const { bytes } = plugin.linked.blueprint.coreModules[0] as (typeof plugin.linked.blueprint.coreModules)[number]
    const command = { file: here.python, args: [...flags, "-c", wasmtimeProgram] }
    return new EngineExecutor(promises, plugin, {
      isolation: "process",
      run: (request, streams, signal) => runProcess(command, request, bytes, streams, signal),
    })
  },
}
