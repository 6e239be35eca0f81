/** Runs the embedding cases against one `stele` and prints their outcomes as one JSON line. */
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { type Case, cases, type Scene, type Stele } from "./embedding.ts"

export interface Outcome {
  readonly title: string
  /** What went wrong; absent when nothing did. */
  readonly problem?: string
}

/** The same module, whose hosts load every plugin into such an isolation unless they are told otherwise. */
function isolated(stele: Stele, isolation: Scene["isolation"]): Stele {
  if (isolation === "inline") return stele
  const Host = {
    async open(...given: Parameters<Stele["Host"]["open"]>) {
      const host = await stele.Host.open(...given)
      const load = host.load.bind(host)
      host.load = ((source, options) => load(source, { isolation, ...options })) as typeof host.load
      return host
    },
  }
  return { ...stele, Host: Host as unknown as Stele["Host"] }
}

export const sceneOf = (stele: Stele, folder: string, isolation: Scene["isolation"] = "inline"): Scene => ({
  stele: isolated(stele, isolation),
  isolation,
  path: (guest) => join(folder, `${guest}.wasm`),
  bytes: async (guest) => new Uint8Array(await readFile(join(folder, `${guest}.wasm`))),
  ask: (plugin, name, args, options) => (isolation === "inline" ? plugin.callSync(name, args as never, options) : plugin.call(name, args as never, options)),
  async hasInstances(plugin, count) {
    const untilMs = performance.now() + (isolation === "inline" ? 0 : 2_000)
    while (plugin.instances !== count && performance.now() < untilMs) await new Promise((done) => setTimeout(done, 2))
    if (plugin.instances !== count) throw new Error(`There are ${plugin.instances} instances, expected ${count}`)
  },
})

export async function outcomes(
  stele: Stele,
  folder: string,
  isolation: Scene["isolation"] = "inline",
  only: ReadonlyArray<Case> = cases,
): Promise<ReadonlyArray<Outcome>> {
  const scene = sceneOf(stele, folder, isolation)
  const done: Array<Outcome> = []
  for (const { title, run, isInline } of only) {
    if (isInline && isolation !== "inline") continue
    try {
      await run(scene)
      done.push({ title })
    } catch (error) {
      done.push({ title, problem: error instanceof Error ? (error.stack ?? error.message) : String(error) })
    }
  }
  return done
}
