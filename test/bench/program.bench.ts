/** `npm run bench -- program`: how long a program of WASI preview 1 takes to say hello, against `node:wasi` with the same module. */
import { spawnSync } from "node:child_process"
import { existsSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { WASI } from "node:wasi"
import { Host } from "../../host/mod.ts"
import { programs } from "../runtime/wasi-programs.ts"
import { compare, compareAsync, type Row, row, type Sample, summarize } from "./measure.ts"

const root = join(import.meta.dirname, "../..")
const times = (a: Sample | undefined, b: Sample | undefined): number => (a === undefined || b === undefined ? Number.NaN : a.median / b.median)
const target = (samples: Record<string, Sample>) => [{ name: "ours/node:wasi", ratio: times(samples["ours"], samples["node:wasi"]), atMost: 1.2 }]

/** The module with a custom section that no other has: bytes that nobody has seen. */
let unseen = 0
function unseenCopy(bytes: Uint8Array): Uint8Array {
  const text = new TextEncoder().encode(String(unseen++).padStart(8, "0"))
  return Uint8Array.from([...bytes, 0, text.length + 2, 1, 0x6e, ...text])
}

export async function bench(say: (line: string) => void): Promise<ReadonlyArray<Row>> {
  const bytes = await programs.exit0()
  // Both write to the same place by a system call each.
  const nowhere = openSync("/dev/null", "w")
  const stdout = (chunk: Uint8Array): void => void writeSync(nowhere, chunk)
  const nodeRun = (module: WebAssembly.Module): void => {
    const wasi = new WASI({ version: "preview1", args: ["hello"], stdout: nowhere, stderr: nowhere })
    wasi.start(new WebAssembly.Instance(module, wasi.getImportObject() as WebAssembly.Imports))
  }
  const host = await Host.open({ cache: false })
  const options = { wasi: { args: ["hello"], stdout, stderr: stdout } }
  const plugin = await host.load(bytes, options)
  const module = new WebAssembly.Module(bytes as BufferSource)
  const rows: Array<Row> = []

  say("hello, module known…")
  {
    const samples = compare({ ours: () => plugin.callSync("wasi:cli/run#run", []), "node:wasi": () => nodeRun(module) })
    rows.push(row("preview-1 hello program, module known: instance to exit", "µs", samples, target(samples)))
  }
  say("hello, unseen bytes…")
  {
    const samples = await compareAsync({
      ours: async () => {
        const fresh = await host.load(unseenCopy(bytes), options)
        fresh.callSync("wasi:cli/run#run", [])
        await fresh.close()
      },
      "node:wasi": async () => nodeRun(new WebAssembly.Module(unseenCopy(bytes) as BufferSource)),
    })
    rows.push(
      row(
        "preview-1 hello program, unseen bytes to exit",
        "µs",
        samples,
        target(samples),
        "decoding, hardening, rewriting and the digest of the bytes included; node:wasi does none of it",
      ),
    )
  }
  await host.close()
  rows.push(...wholeProcess(bytes, say))
  return rows
}

/** From the start of a process to its end, Node's own boot in both. */
function wholeProcess(bytes: Uint8Array, say: (line: string) => void): ReadonlyArray<Row> {
  const cli = join(root, "dist/cli.js")
  if (!existsSync(cli)) return []
  say("stele run hello.wasm…")
  const folder = mkdtempSync(join(tmpdir(), "stele-program-"))
  try {
    const file = join(folder, "hello.wasm")
    writeFileSync(file, bytes)
    const script = join(folder, "hello.mjs")
    writeFileSync(
      script,
      `import { readFileSync } from "node:fs"
import { WASI } from "node:wasi"
const wasi = new WASI({ version: "preview1", args: ["hello"] })
const module = new WebAssembly.Module(readFileSync(${JSON.stringify(file)}))
process.exit(wasi.start(new WebAssembly.Instance(module, wasi.getImportObject())))`,
    )
    const env = { ...process.env, STELE_CACHE: join(folder, "cache"), NODE_COMPILE_CACHE: join(folder, "code") }
    const contenders: Record<string, ReadonlyArray<string>> = { ours: [cli, "run", file], "node:wasi": ["--no-warnings", script] }
    const samples: Record<string, Array<number>> = {}
    for (let round = -2; round < 15; round++)
      for (const [name, args] of Object.entries(contenders)) {
        const startedMs = performance.now()
        const { stdout } = spawnSync(process.execPath, args, { encoding: "utf8", env })
        const tookMs = performance.now() - startedMs
        if (stdout !== "hello\n") throw new Error(`${name} said ${JSON.stringify(stdout)}`)
        if (round >= 0) (samples[name] ??= []).push(tookMs)
      }
    const all = Object.fromEntries(Object.entries(samples).map(([name, values]) => [name, summarize(values)]))
    return [
      row(
        "`stele run hello.wasm` from dist, whole process, warm caches, against a script over node:wasi",
        "ms",
        all,
        [],
        `${times(all["ours"], all["node:wasi"]).toFixed(2)} times the script's: a parser of flags, a store, a watchdog`,
      ),
    ]
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
