/**
 * What opening a store costs a process that has the published bundle: time from asking to the first read, and memory beside that of a bare process; and
 * what it comes to when that process writes at once and then does nothing, so that whatever was only put off is in it.
 */
import { spawnSync } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const bundle = fileURLToPath(new URL("../../dist/mod.js", import.meta.url))
const rounds = 9
/** Until threads that start have started. */
const settledMs = 400

const median = (values: ReadonlyArray<number>): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN

interface Run {
  readonly ms: number
  readonly cpuMs: number
  readonly rssBytes: number
}

function run(code: string): Run {
  const { stdout, stderr, status } = spawnSync(process.execPath, ["--input-type=module", "-e", code], { encoding: "utf8" })
  if (status !== 0) throw new Error(stderr)
  return JSON.parse(stdout) as Run
}

const bare = `console.log(JSON.stringify({ ms: 0, cpuMs: 0, rssBytes: process.memoryUsage().rss }))`
const opening = (path: string, isWriting: boolean): string => `
const [startedMs, startedCpu] = [performance.now(), process.cpuUsage()]
const { Host } = await import(${JSON.stringify(bundle)})
const host = await Host.open({ storage: ${JSON.stringify(`sqlite:${path}`)} })
host.ports.keyValue.get("bench/k")
if (${isWriting}) {
  host.ports.keyValue.set("bench/k", new Uint8Array(300))
  host.ports.blob.put("bench/b", new Uint8Array(300))
}
const ms = performance.now() - startedMs
if (${isWriting}) await new Promise((resume) => setTimeout(resume, ${settledMs}))
const { user, system } = process.cpuUsage(startedCpu)
const rssBytes = process.memoryUsage().rss
await host.close()
console.log(JSON.stringify({ ms, cpuMs: (user + system) / 1_000, rssBytes }))`

export interface Opened {
  /** Loading the bundle, opening a store that is there, and a first read; ms. */
  readonly ms: number
  /** Of the processor, all threads; ms. */
  readonly cpuMs: number
  /** Resident memory beyond that of a bare process, bytes. */
  readonly rssBytes: number
}

/** Medians over processes, those that read and those that also write in turns. */
export function openFigures(): { readonly read: Opened; readonly written: Opened } {
  const folder = mkdtempSync(join(tmpdir(), "stele-bench-open-"))
  try {
    const path = join(folder, "store.db")
    run(opening(path, true))
    const taken = Array.from({ length: rounds }, () => [run(bare), run(opening(path, false)), run(opening(path, true))] as const)
    const of = (which: 0 | 1 | 2, what: keyof Run): number => median(taken.map((each) => each[which][what]))
    const figures = (which: 1 | 2): Opened => ({ ms: of(which, "ms"), cpuMs: of(which, "cpuMs"), rssBytes: of(which, "rssBytes") - of(0, "rssBytes") })
    return { read: figures(1), written: figures(2) }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
