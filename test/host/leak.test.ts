/**
 * Nothing is left behind: memory is flat over cycles of load, call and close, and no open handle outlives `close()`.
 * A full run makes 100,000 cycles.
 */
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import t from "tap"
import { Host, type LoadOptions, SteleError } from "../../host/mod.ts"
import { memoryObserver } from "../../host/port/mod.ts"
import { component, customSection, guest } from "./component-builder.ts"
import { answer, engines } from "./engine.ts"
import { u } from "./wasm-builder.ts"
import { isFull } from "../seed.ts"

t.setTimeout(3_600_000)

setFlagsFromString("--expose-gc")
const collect = runInNewContext("gc") as () => void

/** Bytes in use once everything unreachable is gone. Finalisers of WebAssembly objects run between turns of the loop. */
async function settled(): Promise<{ readonly heap: number; readonly external: number; readonly rss: number }> {
  for (let i = 0; i < 4; i++) {
    collect()
    await new Promise((turn) => setImmediate(turn))
  }
  const { heapUsed, external, arrayBuffers, rss } = process.memoryUsage()
  return { heap: heapUsed, external: external + arrayBuffers, rss }
}

const mib = (bytes: number): string => `${(bytes / (1 << 20)).toFixed(1)} MiB`

const subject = (): Promise<Uint8Array> =>
  guest({
    head: `(type $r (resource (rep i32))) (core func $new (canon resource.new $r)) (core instance $res (export "new" (func $new)))`,
    with: `(with "res" (instance $res))`,
    imports: { tick: "" },
    core: `(import "host" "tick" (func $tick)) (import "res" "new" (func $new (param i32) (result i32))) (memory (export "memory") 1)
      (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
      (func (export "answer") (param i32 i32) (result i32) (call $tick) (drop (call $new (i32.const 1))) (i32.store (i32.const 0) (local.get 0)) (i32.store (i32.const 4) (local.get 1)) (i32.const 0))
      (func (export "trap") unreachable)
      (func (export "fail") (call $tick) (call $tick))`,
    exports: { answer: `(param "text" string) (result string)`, trap: "", fail: "" },
  })

interface Cycles {
  readonly title: string
  readonly count: number
  /** Each cycle has a component of its own, so that nothing prepared is used twice. */
  readonly isUnique?: boolean
  readonly options?: LoadOptions
  readonly reuse?: boolean
}

const total = isFull ? 100_000 : 4_000
const kinds: ReadonlyArray<Cycles> = [
  { title: "the same component", count: total * 0.4 },
  { title: "components that were never seen", count: total * 0.4, isUnique: true },
  { title: "fuel", count: total * 0.1, options: { metering: "fuel" } },
  { title: "instances that are kept", count: total * 0.1, options: { instances: { reuse: "principal" } } },
]

for (const { title, count, isUnique = false, options = {} } of kinds) {
  t.test(`\`load()\`, \`call()\` and \`close()\` leave memory flat when they are repeated ${count} times with ${title}`, async (t) => {
    const observer = memoryObserver({ eventsMax: 10 })
    await using host = await Host.open({ cache: false, ports: { observer } })
    const base = await subject()
    let calls = 0
    const cycle = async (index: number): Promise<void> => {
      const bytes = isUnique ? Uint8Array.from([...base, ...customSection("n", u(index))]) : base
      const plugin = await host.load(bytes, {
        ...options,
        imports: {
          tick: (() => {
            if (++calls % 3 === 0) throw new Error("sometimes")
          }) as never,
        },
      })
      for (const [name, args] of [
        ["answer", ["grüße"]],
        ["trap", []],
        ["fail", []],
      ] as const) {
        try {
          await plugin.call(name, args as never)
        } catch (error) {
          if (!(error instanceof SteleError)) throw error
        }
      }
      await plugin.close()
      if (plugin.instances !== 0) throw new Error(`${plugin.instances} instances are alive after close`)
    }
    // Code is compiled, caches fill and pools settle first.
    const warm = Math.max(300, Math.floor(count / 20))
    for (let i = 0; i < warm; i++) await cycle(i)
    const before = await settled()
    for (let i = 0; i < count; i++) await cycle(warm + i)
    const after = await settled()
    const grown = { heap: after.heap - before.heap, external: after.external - before.external, rss: after.rss - before.rss }
    t.comment(
      `${count} cycles: heap ${mib(before.heap)} → ${mib(after.heap)}, external ${mib(before.external)} → ${mib(after.external)}, RSS ${mib(before.rss)} → ${mib(after.rss)}`,
    )
    t.ok(grown.heap < 3 << 20, `the heap grew by ${mib(grown.heap)}`)
    t.ok(grown.external < 3 << 20, `memory outside the heap grew by ${mib(grown.external)}`)
    // RSS moves with the engine's code space and the allocator; a leak of one memory a cycle would be gigabytes.
    t.ok(grown.rss < (isFull ? 150 : 100) << 20, `RSS grew by ${mib(grown.rss)}`)
    t.equal(host.plugins.length, 0)
  })
}

t.test("a host keeps nothing of components that it refused when there are many", async (t) => {
  await using host = await Host.open({ cache: false })
  const refused = async (index: number): Promise<void> => {
    await host.load(component(customSection("n", u(index)), [99, 0])).then(
      () => t.fail("it loaded"),
      () => undefined,
    )
  }
  for (let i = 0; i < 500; i++) await refused(i)
  const before = await settled()
  for (let i = 0; i < 5_000; i++) await refused(500 + i)
  const after = await settled()
  t.ok(after.heap - before.heap < 2 << 20, `the heap grew by ${mib(after.heap - before.heap)}`)
})

t.test("`Host.open()` and `close()` leave memory flat when they are repeated", async (t) => {
  const bytes = await guest({ core: `(func (export "run"))`, exports: { run: "" } })
  const cycle = async (): Promise<void> => {
    await using host = await Host.open({ cache: false })
    const plugin = await host.load(bytes)
    await plugin.call("run", [] as never)
  }
  for (let i = 0; i < 100; i++) await cycle()
  const before = await settled()
  for (let i = 0; i < 500; i++) await cycle()
  const after = await settled()
  t.ok(after.heap - before.heap < 2 << 20, `the heap grew by ${mib(after.heap - before.heap)}`)
  t.ok(after.rss - before.rss < 60 << 20, `RSS grew by ${mib(after.rss - before.rss)}`)
})

t.test("calls that are aborted while they wait leave memory flat, their stacks included", async (t) => {
  const bytes = await guest({
    imports: { f: "(result u32)" },
    core: `(import "host" "f" (func $f (result i32))) (memory (export "memory") 1) (func (export "run") (result i32) (call $f))`,
    exports: { run: "(result u32)" },
  })
  await using host = await Host.open({ cache: false, ports: { observer: memoryObserver({ eventsMax: 10 }) } })
  for (const metering of ["deadline", "yield"] as const) {
    const plugin = await host.load(bytes, { metering, imports: { f: (async () => new Promise(() => undefined)) as never } })
    const aborted = async (count: number): Promise<void> => {
      const abort = new AbortController()
      const calls = Promise.allSettled(Array.from({ length: count }, () => plugin.call("run", [] as never, { signal: abort.signal, deadlineMs: 60_000 })))
      await new Promise((turn) => setImmediate(turn))
      abort.abort()
      t.ok((await calls).every(({ status }) => status === "rejected"))
    }
    for (let i = 0; i < 10; i++) await aborted(100)
    const before = await settled()
    const total = isFull ? 100_000 : 5_000
    for (let i = 0; i < total / 100; i++) await aborted(100)
    const after = await settled()
    t.equal(plugin.instances, 0)
    t.ok(after.heap - before.heap < 2 << 20, `${metering}: the heap grew by ${mib(after.heap - before.heap)}`)
    t.ok(after.rss - before.rss < 60 << 20, `${metering}: RSS grew by ${mib(after.rss - before.rss)}`)
  }
})

const exitGuest = guest({
  core: `(func (export "answer") (result i32) (i32.const 42)) (func (export "spin") (loop $l (br $l)))`,
  exports: { answer: "(result u32)", spin: "" },
})
for (const engine of engines) {
  for (const how of ["closed", "unclosed"] as const) {
    t.test(`a process ends by itself when its host is ${how} after a stopped call (${engine})`, async (t) => {
      const bytes = Buffer.from(await exitGuest).toString("base64")
      // Killed after 20 s, `answer` fails: the process has then not ended by itself.
      t.same(await answer(engine, "leak-program.ts", [how, bytes], { msMax: 20_000 }), { answer: 42, code: "STELE-LIM-0010", instances: 0 })
    })
  }
}
