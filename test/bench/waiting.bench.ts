/** Waiting: what an asynchronous host call costs, what a plugin that may wait pays when nothing does, and what `yield` costs and keeps free. */
import { monitorEventLoopDelay } from "node:perf_hooks"
import { Host, type LoadOptions, type Plugin } from "../../host/mod.ts"
import { guest, wat } from "../host/component-builder.ts"
import { compareAsync, figureRow, row, type Row } from "./measure.ts"

const core = `(import "host" "f" (func $f (param i32) (result i32)))
  (func (export "sum") (param $n i32) (result i32) (local $s i32)
    (block $done (loop $l
      (br_if $done (i32.eqz (local.get $n)))
      (local.set $s (i32.add (local.get $s) (call $f (local.get $n))))
      (local.set $n (i32.sub (local.get $n) (i32.const 1)))
      (br $l)))
    (local.get $s))
  (func (export "work") (param $n i32) (result i32) (local $s i32)
    (block $done (loop $l
      (br_if $done (i32.eqz (local.get $n)))
      (local.set $s (i32.xor (i32.mul (local.get $s) (i32.const 1664525)) (i32.add (local.get $n) (i32.shr_u (local.get $s) (i32.const 7)))))
      (local.set $n (i32.sub (local.get $n) (i32.const 1)))
      (br $l)))
    (local.get $s))
  (func (export "spin") (loop $l (br $l)))`

/** Host calls of one measured call. */
const calls = 1_000

export async function bench(say: (line: string) => void): Promise<ReadonlyArray<Row>> {
  const bytes = await guest({
    imports: { f: `(param "x" u32) (result u32)` },
    core,
    exports: { sum: `(param "n" u32) (result u32)`, work: `(param "n" u32) (result u32)`, spin: "" },
  })
  await using host = await Host.open({ cache: false })
  const load = (f: (x: number) => unknown, options: LoadOptions = {}): Promise<Plugin> =>
    host.load(bytes, {
      imports: { f } as unknown as NonNullable<LoadOptions["imports"]>,
      instances: { reuse: "principal" },
      limits: { hostCallsMax: 1e9, fuel: 1e15 },
      ...options,
    })
  const plain = await load((x) => x)
  const waiting = await load(async (x) => x)

  // The same core module by hand: what the engine itself takes.
  const { Suspending, promising } = WebAssembly as unknown as {
    readonly Suspending: new (body: (x: number) => unknown) => WebAssembly.ImportValue
    readonly promising: (core: unknown) => (n: number) => Promise<number>
  }
  const module = new WebAssembly.Module((await wat(`(module ${core})`)) as BufferSource)
  const raw = promising(new WebAssembly.Instance(module, { host: { f: new Suspending(async (x: number) => x) } }).exports["sum"])

  say("async host calls…")
  const each = await compareAsync(
    { ours: () => waiting.call("sum", [calls]), "plain host function": () => plain.call("sum", [calls]), "raw JSPI": () => raw(calls) },
    { rounds: 150 },
  )
  const us = (name: string): number => (each[name]?.median ?? Number.NaN) / calls
  say("calls in which nothing waits…")
  const one = await compareAsync({ ours: () => waiting.call("sum", [0]), plain: () => plain.call("sum", [0]) }, { rounds: 3_000 })

  say("yield against fuel…")
  const fuel = await load((x) => x, { metering: "fuel" })
  const yields = await load((x) => x, { metering: "yield" })
  const turns = 20_000_000
  const limits = { deadlineMs: 60_000 }
  const work = await compareAsync({ ours: () => yields.call("work", [turns], limits), fuel: () => fuel.call("work", [turns], limits) }, { rounds: 8 })
  const slowdown = (work["ours"]?.median ?? Number.NaN) / (work["fuel"]?.median ?? Number.NaN)

  say("event-loop lag under an endless guest…")
  const lag = monitorEventLoopDelay({ resolution: 1 })
  const abort = new AbortController()
  const spinning = yields.call("spin", [], { deadlineMs: 60_000, signal: abort.signal }).then(undefined, (error: unknown) => error)
  lag.enable()
  await new Promise((resolve) => setTimeout(resolve, 3_000))
  lag.disable()
  const abortedAtMs = performance.now()
  abort.abort()
  await spinning
  const cancelMs = performance.now() - abortedAtMs
  const lagMs = lag.percentile(99) / 1e6

  return [
    figureRow(
      "async host call, round trip",
      "µs",
      us("ours"),
      { "plain host function": us("plain host function"), "raw JSPI": us("raw JSPI") },
      [],
      `a promise that is there already; ${calls} in one call, the deadline on`,
    ),
    row("call of a plugin that may wait, nothing waits", "µs", one, []),
    figureRow("yield, slowdown against fuel", "×", slowdown, {}, [], `a loop of ${turns} turns, nothing else to do`),
    figureRow(
      "event-loop delay under an endless guest with yield, p99",
      "ms",
      lagMs,
      {},
      [{ name: "ms", ratio: lagMs, atMost: 10 }],
      `3 s; cancelled ${cancelMs.toFixed(1)} ms after its signal`,
    ),
  ]
}
