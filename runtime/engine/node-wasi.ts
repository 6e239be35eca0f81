/**
 * The engine `node-wasi`: `node:wasi` in a Node process of its own. What `node:wasi` lacks and cannot be added from outside
 * is refused: directories that may only be read, exact fuel, limits on single host calls. Memory and tables are capped by
 * what the host writes into the module.
 */
import { EngineError } from "../../schemas/error/engine.ts"
import type { Engine, EnginePlugin } from "../../host/call/engine.ts"
import { check, type Promises } from "./check.ts"
import { ProcessExecutor, type Program } from "./executor.ts"
import { nodeWasiProgram } from "./node-wasi-program.ts"
import { onPath } from "./process.ts"

const promises: Promises = { name: "node-wasi", readOnly: false, limits: [] }

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

async function capped({ linked, loadRewriter }: EnginePlugin): Promise<Pick<Program, "module" | "caps">> {
  const { bytes, module } = linked.blueprint.coreModules[0] as EnginePlugin["linked"]["blueprint"]["coreModules"][number]
  const { memoryBytesMax, tableElementsMax, functionBodyBytesMax } = linked.limits
  const { bytes: rewritten, needs } = (await loadRewriter()).rewriteCoreModule(bytes, module, {
    tier: "off",
    injectedModule: linked.injected,
    memoryPagesMax: Math.min(Math.floor(memoryBytesMax / 65_536), 65_536),
    tableElementsMax,
    functionBodyBytesMax,
    validate: () => undefined,
  })
  const caps = { module: linked.injected, pages: needs.pages ? linked.pagesLeft : undefined, elements: needs.elements ? linked.elementsLeft : undefined }
  return { module: rewritten, caps }
}

export const nodeWasi: Engine = {
  name: promises.name,
  async open(plugin) {
    check(promises, plugin)
    const file = nodeFile()
    if (file === undefined)
      throw new EngineError("Unavailable", { engine: promises.name, detail: "there is no Node on the path", advice: "install Node, or name it in STELE_NODE" })
    // Its own notes would stand among what the guest writes to standard error.
    const command = { file, args: ["--no-warnings", "--eval", nodeWasiProgram] }
    return new ProcessExecutor(promises, plugin, { command, ...(await capped(plugin)) })
  },
}
