/** What opening a store costs a process that has the published bundle: time from asking to the first read, and memory beside that of a bare process. */
import { spawnSync } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const bundle = fileURLToPath(new URL("../../dist/mod.js", import.meta.url))
const rounds = 7

const median = (values: ReadonlyArray<number>): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN

function run(code: string): { readonly ms: number; readonly rssBytes: number } {
  const { stdout, stderr, status } = spawnSync(process.execPath, ["--input-type=module", "-e", code], { encoding: "utf8" })
  if (status !== 0) throw new Error(stderr)
  return JSON.parse(stdout) as { readonly ms: number; readonly rssBytes: number }
}

const bare = `console.log(JSON.stringify({ ms: 0, rssBytes: process.memoryUsage().rss }))`
const opening = (path: string): string => `
const startedMs = performance.now()
const { Host } = await import(${JSON.stringify(bundle)})
const host = await Host.open({ storage: ${JSON.stringify(`sqlite:${path}`)} })
host.ports.keyValue.get("bench/k")
const ms = performance.now() - startedMs
const rssBytes = process.memoryUsage().rss
await host.close()
console.log(JSON.stringify({ ms, rssBytes }))`

export interface Opened {
  /** Loading the bundle, opening a store that is there, and a first read; ms. */
  readonly ms: number
  /** Resident memory beyond that of a bare process, bytes. */
  readonly rssBytes: number
}

/** Medians over processes. */
export function openFigures(): Opened {
  const folder = mkdtempSync(join(tmpdir(), "stele-bench-open-"))
  try {
    const path = join(folder, "store.db")
    run(opening(path))
    const opened = Array.from({ length: rounds }, () => run(opening(path)))
    const none = Array.from({ length: rounds }, () => run(bare))
    return { ms: median(opened.map(({ ms }) => ms)), rssBytes: median(opened.map(({ rssBytes }) => rssBytes)) - median(none.map(({ rssBytes }) => rssBytes)) }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
