/** A plugin's parts for an executor of its own, and what procfs tells of this program's children. */
import { readdir, readFile } from "node:fs/promises"
import type { LoadOptions } from "../../host/mod.ts"
import { memoryPorts } from "../../host/mod.ts"
import { IsolateExecutor } from "../../host/isolate/executor.ts"
import type { Spares } from "../../host/isolate/spare.ts"
import { prepare, PreparedCache } from "../../host/link/prepare.ts"
import { resolveLoadOptions } from "../../host/options.ts"

const unused = (): Promise<never> => Promise.reject(new Error("unused"))

/** Decoded and linked as for an isolate. */
export async function prepared(path: string, given: LoadOptions) {
  const bytes = new Uint8Array(await readFile(path))
  const options = resolveLoadOptions({ isolation: "worker", ...given })
  const linked = await prepare(bytes, "sha256:test", options, {
    ports: memoryPorts(),
    watchdog: undefined,
    nowMs: () => performance.now(),
    injected: "x",
    nesting: { depth: 0, deadlineAtMs: Infinity },
    prepared: new PreparedCache(),
    modules: unused,
    sha256: unused,
    loadRewriter: unused,
    loadForeign: () => import("../../host/foreign/mod.ts"),
    loadAsync: () => Promise.reject(new Error("unused")),
    loadFileSystem: async () => undefined,
    loadWaiting: unused,
  })
  return { linked, options, bytes }
}

/** An executor over these isolates, and its exports as plain functions. */
export async function executorOf(path: string, given: LoadOptions, spares: Spares) {
  const { linked, options, bytes } = await prepared(path, given)
  const executor = await IsolateExecutor.open(linked, options, bytes, spares)
  const call = (name: string, args: ReadonlyArray<unknown>, deadlineMs = 60_000): Promise<unknown> => {
    const { type, source } = linked.blueprint.exports.get(name) as unknown as { type: never; source: { lift: number } }
    const spent = { fuel: undefined, memoryPeakBytes: 0, bytesIn: 0, bytesOut: 0, hostCalls: {}, handlesLeft: 0 }
    const limits = { deadlineAtMs: performance.now() + deadlineMs, deadlineMs, fuel: 0n }
    return executor.call({ name, type, lift: source.lift, throws: false, takesHandles: false }, args, limits, undefined, spent)
  }
  return { executor, call, linked }
}

/** Processes that this one has started and that have not been waited for. */
export async function children(pid: number | "self" = "self"): Promise<ReadonlyArray<number>> {
  const tasks = await readdir(`/proc/${pid}/task`).catch(() => [])
  const texts = await Promise.all(tasks.map((task) => readFile(`/proc/${pid}/task/${task}/children`, "latin1").catch(() => "")))
  return texts.flatMap((text) => text.trim().split(" ").filter(Boolean).map(Number))
}

/** And theirs. */
export async function descendants(pid: number | "self" = "self"): Promise<ReadonlyArray<number>> {
  const own = await children(pid)
  return [...own, ...(await Promise.all(own.map((child) => descendants(child)))).flat()]
}

/** Processes of these groups that live. */
export async function members(groups: ReadonlyArray<number>): Promise<ReadonlyArray<number>> {
  const found: Array<number> = []
  for (const name of await readdir("/proc")) {
    if (!/^\d+$/.test(name)) continue
    const stat = await readFile(`/proc/${name}/stat`, "latin1").catch(() => "")
    const [state = "Z", , group] = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
    if (groups.includes(Number(group)) && !/^[ZX]/.test(state)) found.push(Number(name))
  }
  return found
}

/** Waits until `holds` answers something, for at most `msMax`. */
export async function until<A>(holds: () => Promise<A | undefined | false> | A | undefined | false, msMax = 30_000): Promise<A> {
  for (const endMs = performance.now() + msMax; ;) {
    const found = await holds()
    if (found !== undefined && found !== false) return found
    if (performance.now() > endMs) throw new Error(`It did not happen within ${msMax} ms: ${String(holds)}`)
    await new Promise((done) => setTimeout(done, 5))
  }
}

export const isAlive = async (pid: number): Promise<boolean> => {
  const stat = await readFile(`/proc/${pid}/stat`, "latin1").catch(() => "")
  return stat !== "" && !/^[ZX]/.test(stat.slice(stat.lastIndexOf(")") + 2))
}
