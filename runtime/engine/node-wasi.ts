/**
 * The engine `node-wasi`: `node:wasi` in a Node process of its own, or in a thread of this one. What `node:wasi` lacks and cannot be added from outside
 * is refused: directories that may only be read, exact fuel, limits on single host calls. Memory and tables are capped by
 * what the host writes into the module.
 */
import { EngineError } from "../../schemas/error/engine.ts"
import type { Engine, EnginePlugin } from "../../host/call/engine.ts"
import { check, type Promises } from "./check.ts"
import { EngineExecutor, type Program } from "./executor.ts"
import { processProgram, threadProgram } from "./node-wasi-program.ts"
import { onPath, runProcess } from "./process.ts"
import { runThread } from "./thread.ts"

const promises: Promises = { name: "node-wasi", readOnly: false, isolations: ["worker", "process"], limits: [] }

/** The running Node; elsewhere the one that is named, or the first on the path. */
function nodeFile(): string | undefined {
  const { bun, deno } = process.versions
  const named = process.env["STELE_NODE"]
  if (named !== undefined && named !== "") return named
  return bun === undefined && deno === undefined && !isSingleFile() ? process.execPath : onPath(["node"])[0]
}

/** A program of one file runs itself, whatever it is given. */
function isSingleFile(): boolean {
  const sea = process.getBuiltinModule("node:sea") as { readonly isSea?: () => boolean } | undefined
  return sea?.isSea?.() === true
}

/** `deadline`: with checks that end it where its thread cannot be killed without leaving files open. */
async function capped(
  { linked, loadRewriter }: EnginePlugin,
  tier: "off" | "deadline",
): Promise<{ readonly module: Uint8Array; readonly caps: Program["caps"] }> {
  const { bytes, module } = linked.blueprint.coreModules[0] as EnginePlugin["linked"]["blueprint"]["coreModules"][number]
  const { memoryBytesMax, tableElementsMax, functionBodyBytesMax } = linked.limits
  const { bytes: rewritten, needs } = (await loadRewriter()).rewriteCoreModule(bytes, module, {
    tier,
    stackFrameBytesMax: Infinity,
    injectedModule: linked.injected,
    memoryPagesMax: Math.min(Math.floor(memoryBytesMax / 65_536), 65_536),
    tableElementsMax,
    functionBodyBytesMax,
    validate: () => undefined,
  })
  const caps = {
    module: linked.injected,
    memory: needs.memory,
    epoch: needs.epoch,
    tick: needs.tick,
    stack: needs.stack ? linked.limits.stackBytesMax : undefined,
    pages: needs.pages ? linked.pagesLeft : undefined,
    elements: needs.elements ? linked.elementsLeft : undefined,
  }
  return { module: rewritten, caps }
}

export const nodeWasi: Engine = {
  name: promises.name,
  async open(plugin) {
    check(promises, plugin)
    const { isolation } = plugin.options
    if (isolation === "worker") {
      const { bun, deno } = process.versions
      if (bun !== undefined || deno !== undefined)
        throw new EngineError("Unavailable", { engine: promises.name, detail: "this process is no Node", advice: 'use isolation "process", which finds one' })
      const { module, caps } = await capped(plugin, "deadline")
      return executor(plugin, "worker", caps, (request, streams, signal) => runThread(threadProgram, request, module, streams, signal))
    }
    const file = nodeFile()
    if (file === undefined)
      throw new EngineError("Unavailable", { engine: promises.name, detail: "there is no Node on the path", advice: "install Node, or name it in STELE_NODE" })
    // Its own notes would stand among what the guest writes to standard error.
    const command = { file, args: ["--no-warnings", "--eval", processProgram] }
    const { module, caps } = await capped(plugin, "off")
    return executor(plugin, "process", caps, (request, streams, signal) => runProcess(command, request, module, streams, signal))
  },
}

const executor = (plugin: EnginePlugin, isolation: Program["isolation"], caps: Program["caps"], run: Program["run"]): EngineExecutor =>
  new EngineExecutor(promises, plugin, { isolation, run, ...(caps === undefined ? {} : { caps }) })
