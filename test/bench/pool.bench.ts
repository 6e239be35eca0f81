/** `npm run bench -- pool`: instances from the pool, from snapshots, and calls while a plugin is replaced. Part of `npm run bench -- host`. */
import { execFileSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Instance } from "../../host/call/instance.ts"
import { Host, type LoadOptions, type Plugin } from "../../host/mod.ts"
import { Pool } from "../../host/pool/pool.ts"
import { component, core, text63 } from "./guest/echo.ts"
import { figureRow, type Row, row, type Sample, summarize } from "./measure.ts"

const root = join(import.meta.dirname, "../..")
const imports = { "stele:bench/host": { note: () => undefined, size: (text: string) => text.length } }

/** Microseconds of whole calls, of `take` of the pool, and from a call's beginning until its instance is entered. */
interface Times {
  readonly whole: Record<string, Sample>
  readonly take: Record<string, Sample>
  readonly entered: Record<string, Sample>
}

/** Contenders take turns; before each the pool has made ahead what it should have. */
async function inTurns(contenders: Readonly<Record<string, { readonly plugin: Plugin; readonly run: () => unknown }>>, rounds: number): Promise<Times> {
  const { take } = Pool.prototype
  const { call } = Instance.prototype
  let taking = 0
  let took = Number.NaN
  let entered = Number.NaN
  Pool.prototype.take = function (...args) {
    taking = performance.now()
    const instance = take.apply(this, args)
    took = performance.now() - taking
    return instance
  }
  Instance.prototype.call = function (...args) {
    entered = performance.now() - taking
    return call.apply(this, args)
  }
  const samples = { whole: new Map<string, Array<number>>(), take: new Map<string, Array<number>>(), entered: new Map<string, Array<number>>() }
  const push = (of: Map<string, Array<number>>, name: string, ms: number): void => {
    const list = of.get(name)
    if (list === undefined) of.set(name, [ms * 1_000])
    else list.push(ms * 1_000)
  }
  try {
    for (let round = -20; round < rounds; round++) {
      for (const [name, { plugin, run }] of Object.entries(contenders)) {
        await filled(plugin)
        const started = performance.now()
        run()
        const whole = performance.now() - started
        if (round < 0) continue
        push(samples.whole, name, whole)
        push(samples.take, name, took)
        push(samples.entered, name, entered)
      }
    }
  } finally {
    Pool.prototype.take = take
    Instance.prototype.call = call
  }
  const summary = (of: Map<string, Array<number>>): Record<string, Sample> => Object.fromEntries(Array.from(of, ([name, values]) => [name, summarize(values)]))
  return { whole: summary(samples.whole), take: summary(samples.take), entered: summary(samples.entered) }
}

async function filled(plugin: Plugin): Promise<void> {
  if (!asksForReady.has(plugin)) return
  for (let turn = 0; turn < 1_000 && plugin.pool.ready === 0; turn++) await new Promise((next) => setTimeout(next, 0))
}
const asksForReady = new WeakSet<Plugin>()

/** The Rust guest, or why there is none. */
function rust(): Uint8Array | string {
  const folder = mkdtempSync(join(tmpdir(), "stele-bench-"))
  const out = join(folder, "table.wasm")
  const options = ["--edition=2021", "--target=wasm32-unknown-unknown", "-O", "-C", "panic=abort", "--crate-type=cdylib"]
  try {
    for (const rustc of [process.env["RUSTC"] ?? "rustc", "/usr/bin/rustc"]) {
      for (const linker of [[], ["-C", "linker=wasm-ld"]]) {
        try {
          execFileSync(rustc, [...linker, ...options, join(import.meta.dirname, "guest/table.rs"), "-o", out], { stdio: "ignore" })
          return new Uint8Array(readFileSync(out))
        } catch {
          // Another one may have the target's library.
        }
      }
    }
    return "no Rust here builds for wasm32-unknown-unknown"
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

export async function bench(say: (line: string) => void): Promise<ReadonlyArray<Row>> {
  const rows: Array<Row> = []
  const host = await Host.open({ cache: false })
  const load = async (bytes: Uint8Array, options: LoadOptions): Promise<Plugin> => {
    const plugin = await host.load(bytes, options)
    if (options.instances?.ready !== undefined) asksForReady.add(plugin)
    return plugin
  }

  say("instances of the echo plugin from the pool…")
  {
    const bytes = await component()
    const call = (plugin: Plugin) => ({ plugin, run: () => plugin.callSync("stele:bench/api#echo", [text63]) })
    const module = new WebAssembly.Module((await core()) as BufferSource)
    const fresh = await load(bytes, { imports })
    const times = await inTurns(
      {
        ours: call(await load(bytes, { imports, instances: { ready: 4 } })),
        fresh: call(fresh),
        snapshot: call(await load(bytes, { imports, prepare: "snapshot" })),
        reused: call(await load(bytes, { imports, instances: { reuse: "principal" } })),
        "raw instance alone": { plugin: fresh, run: () => new WebAssembly.Instance(module, imports) },
      },
      1_000,
    )
    const take = times.take["ours"] as Sample
    rows.push(row("instance from the pool: taking one, echo plugin", "µs", { ours: take }, [{ name: "µs", ratio: take.median, atMost: 1 }]))
    rows.push(row("63-byte echo with an instance from the pool", "µs", times.whole, [], "a call each turn of the event loop: colder than calls in a row"))
  }

  say("instances of a QuickJS guest from the pool and from a snapshot…")
  {
    const bytes = new Uint8Array(readFileSync(join(root, "plugins/examples/table-stats/build/table-stats.wasm")))
    const args = ["a,b\n1,2\n3,4\n5,7\n", { separator: ",", correlations: false }] as never
    const call = (plugin: Plugin) => ({ plugin, run: () => plugin.callSync("stele:example-table/statistics#describe", args) })
    const times = await inTurns(
      {
        ours: call(await load(bytes, { instances: { ready: 2 } })),
        fresh: call(await load(bytes, {})),
        snapshot: call(await load(bytes, { prepare: "snapshot" })),
        reused: call(await load(bytes, { instances: { reuse: "principal" } })),
      },
      200,
    )
    const { ours, fresh, snapshot } = times.entered as Record<"ours" | "fresh" | "snapshot", Sample>
    const figure = "QuickJS guest from the pool: a call's beginning to its first instruction"
    rows.push(row(figure, "µs", { ours, fresh, snapshot }, [{ name: "µs", ratio: ours.median, atMost: 100 }]))
    rows.push(row("QuickJS guest, whole call with an instance from the pool", "µs", times.whole, []))
    rows.push(ratioRow("QuickJS guest (initialised when it was built): instance from a snapshot", snapshot, fresh))
  }

  say("instances of guests that initialise themselves from a snapshot…")
  {
    const bytes = rust()
    if (typeof bytes === "string") say(bytes)
    else {
      const args = [999_983] as never
      const call = (plugin: Plugin) => ({ plugin, run: () => plugin.callSync("look", args) })
      const fresh = await load(bytes, {})
      const snapshot = await load(bytes, { prepare: "snapshot" })
      if (fresh.callSync("look", args) !== snapshot.callSync("look", args)) throw new Error("A snapshot answers otherwise")
      const { entered } = await inTurns({ fresh: call(fresh), snapshot: call(snapshot) }, 100)
      rows.push(ratioRow("Rust guest that makes a sieve and a table: instance from a snapshot", entered["snapshot"] as Sample, entered["fresh"] as Sample))
    }
  }

  say("calls while the plugin is replaced…")
  rows.push(await hotSwap(host))
  await host.close()
  return rows
}

const ratioRow = (figure: string, snapshot: Sample, fresh: Sample): Row =>
  row(figure, "µs", { ours: snapshot, fresh }, [], `fresh takes ${(fresh.median / snapshot.median).toFixed(2)} times as long`)

/** 10,000 calls, 64 at a time, while the component is exchanged without a pause between. */
async function hotSwap(host: Host): Promise<Row> {
  // (module (func (export "run") (param i32) (result i32) (i32.add (i32.mul (local.get 0) (i32.const 8)) (i32.const VERSION))))
  const versioned = (version: number): Uint8Array =>
    Uint8Array.of(
      0,
      97,
      115,
      109,
      1,
      0,
      0,
      0,
      1,
      6,
      1,
      96,
      1,
      127,
      1,
      127,
      3,
      2,
      1,
      0,
      7,
      7,
      1,
      3,
      114,
      117,
      110,
      0,
      0,
      10,
      12,
      1,
      10,
      0,
      32,
      0,
      65,
      8,
      108,
      65,
      version,
      106,
      11,
    )
  const calls = 10_000
  const plugin = await host.load(versioned(1), { instances: { max: 16, queue: 64 } })
  let begun = 0
  let answered = 0
  let wrong = 0
  const versions = new Map<string, number>([[plugin.digest, 1]])
  const caller = async (): Promise<void> => {
    while (begun < calls) {
      const n = begun++
      const { result, usage } = await plugin.callWithUsage("run", [n] as never)
      const version = (result as number) % 8
      answered++
      if (Math.floor((result as number) / 8) !== n || (versions.get(usage.plugin) ?? version) !== version) wrong++
      versions.set(usage.plugin, version)
      if (n % 8 === 0) await new Promise((next) => setTimeout(next, 0))
    }
  }
  let swaps = 0
  const isOver = (): boolean => begun >= calls
  const swapper = async (): Promise<void> => {
    while (!isOver()) {
      await plugin.replace(versioned(1 + (++swaps % 3)))
      // Loading something so small never leaves the thread: without a turn of theirs the callers' timers would wait for good.
      await new Promise((next) => setTimeout(next, 0))
    }
  }
  const started = performance.now()
  await Promise.all([...Array.from({ length: 64 }, caller), swapper()])
  const tookMs = performance.now() - started
  await plugin.close()
  const lost = calls - answered + wrong
  return figureRow(
    `calls lost or mixed of ${calls} while the plugin is replaced`,
    "calls",
    lost,
    {},
    [{ name: "calls", ratio: lost, atMost: 0 }],
    `${swaps} replacements in ${tookMs.toFixed(0)} ms`,
  )
}
