/** Calls that wait, case by case, on any engine that can suspend WebAssembly. A case fails by throwing. */
import assert from "node:assert/strict"
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { trap } from "../../host/call/trap.ts"
import { Host, type LoadOptions, memoryKeyValue, memoryObserver, type Plugin, SteleError, waits } from "../../host/mod.ts"
import { call, get, i32, Module } from "./wasm-builder.ts"
import { isFull } from "../seed.ts"

export interface Case {
  readonly title: string
  readonly run: (folder: string) => Promise<void>
}
export const cases: Array<Case> = []
const test = (title: string, run: Case["run"]): void => void cases.push({ title, run })

const meterings = ["deadline", "fuel", "yield"] as const
const after = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
const turn = (): Promise<void> => after(0)
const read = async (folder: string, guest: string): Promise<Uint8Array> => new Uint8Array(await readFile(join(folder, `${guest}.wasm`)))

type Imports = NonNullable<LoadOptions["imports"]>
type F = (x: number) => unknown

async function open(folder: string, guest: string, options: LoadOptions & { readonly f?: F; readonly stop?: "epoch" | "fuel slices" } = {}) {
  const { f, stop, ...rest } = options
  const host = await Host.open({ cache: false, ...(stop === undefined ? {} : { stop }) })
  const plugin: Plugin = await host.load(await read(folder, guest), { ...(f === undefined ? {} : { imports: { f } as unknown as Imports }), ...rest })
  return { plugin, [Symbol.asyncDispose]: () => host.close() }
}

async function codeOf(answer: unknown): Promise<string> {
  try {
    return `answered ${String(await answer)}`
  } catch (error) {
    return error instanceof SteleError ? error.code : `untyped: ${String(error)}`
  }
}
const deadline = "STELE-LIM-0010"
const aborted = "STELE-PLG-0005"

/** Promises that the case settles itself, in the order they were asked for. */
function promises() {
  const asked: Array<{ readonly x: number; readonly resolve: (value: unknown) => void; readonly reject: (error: unknown) => void }> = []
  let told: (() => void) | undefined
  return {
    asked,
    f: async (x: number) => {
      const answer = new Promise((resolve, reject) => asked.push({ x, resolve, reject }))
      told?.()
      return answer
    },
    /** Resolves when the `count`th promise has been asked for. */
    async reached(count: number): Promise<void> {
      while (asked.length < count) await new Promise<void>((resolve) => (told = resolve))
      await turn()
    },
  }
}

for (const metering of meterings) {
  test(`an async host function answers like a plain one under ${metering}, and many calls wait at once, each in its own instance`, async (folder) => {
    await using plain = await open(folder, "caller", { metering, f: (x) => x * 3 })
    await using waiting = await open(folder, "caller", { metering, f: async (x) => (await after(x % 3), x * 3) })
    assert.equal(waiting.plugin.describe().mechanisms.wait, metering === "yield" ? "yield" : "suspension")
    const expected = await plain.plugin.callWithUsage("sum", [10])
    const all = await Promise.all(Array.from({ length: 50 }, () => waiting.plugin.callWithUsage("sum", [10])))
    for (const { result, usage } of all) {
      assert.equal(result, expected.result)
      assert.equal(usage.fuel, expected.usage.fuel, "waiting costs no fuel")
      assert.equal(usage.bytesOut, expected.usage.bytesOut)
      assert.ok(usage.wallNs > 1e6, "waiting takes time")
    }
    assert.equal(waiting.plugin.instances, 0)
  })
}

for (const guest of ["caller", "nested"] as const) {
  const [name, waitsOf] = guest === "caller" ? (["sum", 4] as const) : (["run", 4] as const)
  for (const metering of meterings) {
    test(`a call of "${guest}" ends at each of its waits under ${metering}: by its signal, its deadline, or a host function that fails`, async (folder) => {
      for (const way of ["abort", "deadline", "reject", "not a number"] as const) {
        for (let k = 1; k <= waitsOf; k++) {
          const { asked, f, reached } = promises()
          await using scene = await open(folder, guest, { metering, f })
          const abort = new AbortController()
          const call = codeOf(scene.plugin.call(name, [4], { signal: abort.signal, ...(way === "deadline" ? { deadlineMs: 25 } : {}) }))
          // Where the machine is slow the deadline comes at an earlier wait.
          const isThere = (i: number) => Promise.race([reached(i).then(() => true), call.then(() => false)])
          let is = true
          for (let i = 1; i < k && is; i++) {
            is = await isThere(i)
            asked[i - 1]?.resolve(i)
          }
          if (!is || !(await isThere(k))) {
            assert.equal(way, "deadline", await call)
            continue
          }
          assert.equal(scene.plugin.instances, 1)
          if (way === "abort") abort.abort()
          if (way === "reject") asked[k - 1]?.reject(new Error("no"))
          if (way === "not a number") asked[k - 1]?.resolve("four")
          assert.equal(await call, { abort: aborted, deadline, reject: "STELE-PLG-0009", "not a number": "STELE-WIT-0001" }[way], `${way} at ${k}`)
          assert.equal(scene.plugin.instances, 0)
          asked[k - 1]?.resolve(1)
          asked[k - 1]?.reject(new Error("late"))
          await turn()
          assert.equal(asked.length, k, "a late answer goes nowhere")
          if (k === waitsOf) {
            const again = scene.plugin.call(name, [0])
            if (guest === "nested") for (let i = k + 1; i <= k + 4; i++) await reached(i).then(() => asked[i - 1]?.resolve(1))
            assert.equal(await again, guest === "caller" ? 0 : 4, "the next call works")
          }
        }
      }
    })
  }
}

test("a call rejects at once when its signal aborts, whatever it waits for, and its listener is taken off", async (folder) => {
  await using scene = await open(folder, "caller", { f: async () => new Promise(() => undefined) })
  const abort = new AbortController()
  const call = codeOf(scene.plugin.call("sum", [1], { signal: abort.signal, deadlineMs: 60_000 }))
  await turn()
  const before = performance.now()
  abort.abort()
  assert.equal(await call, aborted)
  assert.ok(performance.now() - before < 20_000)
  await using quick = await open(folder, "caller", { f: async (x) => x })
  let listeners = 0
  const { signal } = new AbortController()
  const { addEventListener, removeEventListener } = signal
  signal.addEventListener = function (this: AbortSignal, ...args: Parameters<typeof addEventListener>) {
    listeners++
    return addEventListener.apply(this, args)
  } as typeof addEventListener
  signal.removeEventListener = function (this: AbortSignal, ...args: Parameters<typeof removeEventListener>) {
    listeners--
    return removeEventListener.apply(this, args)
  } as typeof removeEventListener
  await Promise.all(Array.from({ length: 10 }, () => quick.plugin.call("sum", [3], { signal })))
  assert.equal(listeners, 0)
})

for (const stop of ["epoch", "fuel slices"] as const) {
  for (const metering of meterings) {
    if (stop === "fuel slices" && metering !== "deadline") continue
    test(`a guest that resumes is stopped, traps and overflows as ever: ${metering}, ${stop}`, async (folder) => {
      await using scene = await open(folder, "caller", { metering, stop, f: async (x) => (await after(1), x), limits: { fuel: 1e12 } })
      assert.equal(await codeOf(scene.plugin.call("spin-after", [], { deadlineMs: 40 })), deadline)
      assert.equal(await codeOf(scene.plugin.call("trap-after", [])), "STELE-PLG-0002")
      assert.equal(await codeOf(scene.plugin.call("deep-after", [])), "STELE-LIM-0003")
      assert.equal(await codeOf(scene.plugin.call("swallow", [], { deadlineMs: 40 })), deadline)
      if (metering !== "deadline") assert.equal(await codeOf(scene.plugin.call("spin-after", [], { fuel: 100_000n })), "STELE-LIM-0009")
      assert.equal(await scene.plugin.call("sum", [4]), 6)
      assert.equal(scene.plugin.instances, 0)
    })
  }
}

test("no handler of the guest catches a host function that rejects, nor a call that is cut", async (folder) => {
  await using rejecting = await open(folder, "caller", { f: async () => Promise.reject(new Error("no")) })
  assert.equal(await codeOf(rejecting.plugin.call("swallow", [])), "STELE-PLG-0009")
  let calls = 0
  await using never = await open(folder, "caller", { f: async () => (calls++, new Promise(() => undefined)) })
  assert.equal(await codeOf(never.plugin.call("swallow", [], { deadlineMs: 20 })), deadline)
  await after(20)
  assert.equal(calls, 1)
  await using nested = await open(folder, "nested", { f: async (x) => x })
  assert.equal(await codeOf(nested.plugin.call("trap", [1])), "STELE-PLG-0002", "a trap behind a call between components is no exception either")
})

test("a trap that comes by a rejected promise is caught by no handler, of the old form or the new: how a suspended stack is unwound", async () => {
  const unwound: unknown = (() => {
    try {
      return trap()
    } catch (error) {
      return error
    }
  })()
  const { Suspending, promising } = WebAssembly as unknown as {
    readonly Suspending: new (body: () => unknown) => WebAssembly.ImportValue
    readonly promising: (core: unknown) => (x: number) => Promise<number>
  }
  const handlers = {
    // try (result i32) … catch_all (i32.const 99) end
    old: [0x06, 0x7f, get(0), call(0), 0x19, i32(99), 0x0b],
    // block, try_table (catch_all 0) … return, end, end, (i32.const 99)
    new: [0x02, 0x40, 0x1f, 0x40, 0x01, 0x02, 0x00, get(0), call(0), "return", 0x0b, 0x0b, i32(99)],
  }
  for (const [form, code] of Object.entries(handlers)) {
    const m = new Module()
    m.importFunc("h", "f", ["i32"], ["i32"])
    m.func(["i32"], ["i32"], { export: "run" }, code)
    const answer = (rejection: unknown): Promise<unknown> =>
      promising(new WebAssembly.Instance(new WebAssembly.Module(m.bytes()), { h: { f: new Suspending(() => Promise.reject(rejection)) } }).exports["run"])(
        1,
      ).catch((error: unknown) => error)
    assert.equal(await answer(new Error("an exception")), 99, `the ${form} form catches exceptions`)
    assert.equal(await answer(unwound), unwound, `the ${form} form`)
  }
})

test("whatever a host function answers with, the call ends typed: thenables that throw, answer twice, at once or never", async (folder) => {
  const answers: ReadonlyArray<readonly [unknown, string]> = [
    [{ then: (resolve: (x: number) => void) => (resolve(1), resolve(2)) }, "answered 1"],
    [{ then: (resolve: (x: number) => void, reject: (e: unknown) => void) => (resolve(1), reject(new Error("no"))) }, "answered 1"],
    [
      {
        then: () => {
          throw new Error("no")
        },
      },
      "STELE-PLG-0009",
    ],
    [
      {
        then: (resolve: (x: number) => void) => {
          resolve(5)
          throw new Error("no")
        },
      },
      "answered 5",
    ],
    [
      Object.defineProperty({}, "then", {
        get: () => {
          throw new Error("no")
        },
      }),
      "STELE-PLG-0009",
    ],
    [
      Object.assign(Promise.resolve(3), {
        then: () => {
          throw new Error("no")
        },
      }),
      "STELE-PLG-0009",
    ],
    [{ then: () => undefined }, deadline],
    [async () => Promise.reject(undefined), "STELE-PLG-0009"],
    [4, "answered 4"],
  ]
  let answer: unknown
  const imports = { f: waits(() => (typeof answer === "function" ? (answer as () => unknown)() : answer)) } as unknown as Imports
  await using scene = await open(folder, "caller", { imports })
  for (const [given, expected] of answers) {
    answer = given
    assert.equal(await codeOf(scene.plugin.call("sum", [1], { deadlineMs: expected === deadline ? 40 : 5_000 })), expected)
  }
  assert.equal(scene.plugin.instances, 0)
})

test("nothing waits in `callSync`, a start function, `realloc` or `post-return`, and an answer that is there is taken", async (folder) => {
  const f = async (x: number) => x
  await using caller = await open(folder, "caller", { f })
  assert.equal(await codeOf((async () => caller.plugin.callSync("sum", [1]))()), "STELE-ASY-0001")
  assert.equal(caller.plugin.callSync("sum", [0]), 0)
  await using starter = await open(folder, "starter", { f })
  assert.equal(await codeOf(starter.plugin.call("run", [])), "STELE-ASY-0001")
  await using poster = await open(folder, "poster", { f })
  assert.equal(await codeOf(poster.plugin.call("run", [])), "STELE-PLG-0011")
  await using allocating = await open(folder, "allocating", { f })
  assert.equal(await codeOf(allocating.plugin.call("run", ["text"])), "STELE-PLG-0011")
  const imports = { f: waits((_wait, x: number) => x + 1) } as unknown as Imports
  await using there = await open(folder, "caller", { imports })
  assert.equal(there.plugin.callSync("sum", [3]), 6)
  await using started = await open(folder, "starter", { imports })
  assert.equal(await codeOf(started.plugin.call("run", [])), "answered undefined")
  await using sync = await open(folder, "nested", { imports })
  assert.equal(sync.plugin.callSync("run", [3]), 12)
})

test("`waits()` tells a host function the time that is left and when nobody waits for it any more", async (folder) => {
  const seen: Array<string> = []
  const f = waits(async ({ signal, remainingMs }, _x: number) => {
    seen.push(remainingMs > 0 && remainingMs <= 30 ? "remaining" : `${remainingMs} ms`)
    await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()))
    seen.push((signal.reason as SteleError).code)
    return 1
  })
  await using scene = await open(folder, "caller", { imports: { f } as unknown as Imports })
  assert.equal(await codeOf(scene.plugin.call("sum", [1], { deadlineMs: 30 })), deadline)
  await turn()
  assert.deepEqual(seen, ["remaining", deadline])
})

test("a host function that calls the plugin again gets another instance, the outer deadline and the limit on nesting", async (folder) => {
  let again: () => Promise<unknown> = async () => 0
  let depth = 0
  const f = async (): Promise<unknown> => (depth++, again())
  await using scene = await open(folder, "caller", { f, limits: { nestingMax: 5 } })
  again = () => scene.plugin.call("sum", [1], { deadlineMs: 60_000 })
  assert.equal(await codeOf(scene.plugin.call("sum", [1])), "STELE-LIM-0018")
  assert.equal(depth, 5)
  await using never = await open(folder, "caller", { f: async () => new Promise(() => undefined) })
  await using outer = await open(folder, "caller", { f: async () => never.plugin.call("sum", [1], { deadlineMs: 60_000 }) })
  const before = performance.now()
  assert.equal(await codeOf(outer.plugin.call("sum", [1], { deadlineMs: 30 })), deadline)
  await after(30)
  assert.equal(never.plugin.instances, 0, "the inner one ended with the outer")
  assert.ok(performance.now() - before < 20_000)
})

test("an instance that is kept for a principal is busy while it is suspended, and keeps its state", async (folder) => {
  const { asked, f, reached } = promises()
  await using scene = await open(folder, "caller", { f, instances: { reuse: "principal" } })
  const call = scene.plugin.call("sum", [1])
  await reached(1)
  assert.equal(await codeOf((async () => scene.plugin.callSync("sum", [0]))()), "STELE-PLG-0004")
  const next = scene.plugin.call("sum", [0])
  await turn()
  assert.equal(scene.plugin.instances, 1)
  asked[0]?.resolve(5)
  assert.equal(await call, 5)
  assert.equal(await next, 0, "a call that may wait waits for the instance")
  assert.equal(scene.plugin.instances, 1)
})

test("what a suspended guest holds is released exactly once, and so is what comes too late for it", async (folder) => {
  const live = new Set<object>()
  const released: Array<object> = []
  let answer: Promise<unknown> = Promise.resolve(1)
  class Thing {
    constructor() {
      live.add(this)
    }
    async get() {
      return answer
    }
    async another() {
      await answer
      return new Thing()
    }
    [Symbol.dispose]() {
      live.delete(this)
      released.push(this)
    }
  }
  await using scene = await open(folder, "holder", { imports: { "test:held/things": { Thing } } })
  assert.equal(await scene.plugin.call("test:held/api#run", []), 1)
  assert.equal(await scene.plugin.call("test:held/api#more", []), 1)
  assert.equal(live.size, 0)
  for (const name of ["test:held/api#run", "test:held/api#more"]) {
    released.length = 0
    let late: (() => void) | undefined
    answer = new Promise((resolve) => (late = () => resolve(1)))
    assert.equal(await codeOf(scene.plugin.call(name, [], { deadlineMs: 250 })), deadline)
    assert.equal(released.length, 1)
    late?.()
    await turn()
    assert.equal(released.length, name.endsWith("more") ? 2 : 1)
    assert.equal(new Set(released).size, released.length)
    assert.equal(live.size, 0)
  }
})

// JavaScriptCore collects garbage for each memory it makes beyond some tens: 10 ms each.
const callers = "Bun" in globalThis ? 50 : 1_000

test("1,000 concurrent calls over an asynchronous key-value port with random delays each get their own answer", async (folder) => {
  const store = memoryKeyValue()
  const later = async <A>(body: () => A): Promise<A> => (await after(Math.random() * 20), body())
  const keyValue = {
    isAsync: true,
    get: (key: string) => later(() => store.get(key)),
    getVersioned: (key: string) => later(() => store.getVersioned(key)),
    set: (key: string, value: Uint8Array) => later(() => store.set(key, value)),
    delete: (key: string) => later(() => store.delete(key)),
    has: (key: string) => later(() => store.has(key)),
    list: (prefix: string, from: string | undefined, max: number) => later(() => store.list(prefix, from, max)),
    swap: (key: string, version: number | undefined, value: Uint8Array) => later(() => store.swap(key, version, value)),
    increment: (key: string, delta: bigint, min: bigint, max: bigint) => later(() => store.increment(key, delta, min, max)),
  }
  const observer = memoryObserver()
  await using host = await Host.open({ cache: false, ports: { keyValue, observer } })
  const plugin: Plugin = await host.load(await read(folder, "reader"), { grants: ["kv:read:*", "kv:write:*"] })
  const valueOf = (i: number): Uint8Array => Uint8Array.from({ length: 1 + (i % 50) }, (_, at) => (i * 31 + at) & 255)
  const all = Array.from({ length: callers }, (_, i) => i)
  await Promise.all(all.map((i) => plugin.call("test:reader/api#write", [`key-${i}`, valueOf(i)], { deadlineMs: 20_000 })))
  const answers = await Promise.all(all.map((i) => plugin.call("test:reader/api#read", [`key-${i}`], { deadlineMs: 20_000 })))
  answers.forEach((answer, i) => assert.deepEqual(answer, valueOf(i)))
  assert.equal(plugin.instances, 0)
  assert.equal(await codeOf((async () => plugin.callSync("test:reader/api#read", ["key-1"]))()), "STELE-ASY-0001")
})

test("a guest that sleeps an hour is stopped at its deadline, and one that sleeps less blocks nobody", async (folder) => {
  await using scene = await open(folder, "sleeper", { grants: ["clock:monotonic"] })
  const hour = 3_600_000_000_000n
  for (const name of ["test:sleep/api#block", "test:sleep/api#poll"]) {
    const before = performance.now()
    assert.match(await codeOf(scene.plugin.call(name, [hour], { deadlineMs: 40 })), /^STELE-(LIM-0010|CAP-0007)$/)
    assert.ok(performance.now() - before < 20_000)
    let turns = 0
    const timer = setInterval(() => turns++, 1)
    // Whatever comes of it: what goes on would keep the program for ever.
    await Promise.all(Array.from({ length: 20 }, () => scene.plugin.call(name, [30_000_000n], { deadlineMs: 20_000 }))).finally(() => clearInterval(timer))
    assert.ok(turns > 0, `the loop turned ${turns} times`)
    const abort = new AbortController()
    const sleeping = codeOf(scene.plugin.call(name, [900_000_000n], { signal: abort.signal }))
    await after(5)
    abort.abort()
    assert.equal(await sleeping, aborted)
  }
})

/** Longest time between two turns of a 1 ms timer while `during` runs: sorted, in ms. */
async function lags(during: Promise<unknown>): Promise<ReadonlyArray<number>> {
  const seen: Array<number> = []
  let last = performance.now()
  const timer = setInterval(() => {
    const now = performance.now()
    seen.push(now - last)
    last = now
  }, 1)
  await during.finally(() => clearInterval(timer))
  return seen.sort((a, b) => a - b)
}

test("under `yield` endless guests never block the event loop, share it, and are cancelled by their signals", async (folder) => {
  await using scene = await open(folder, "caller", { metering: "yield", f: (x) => x, limits: { fuel: 1e15 } })
  const abort = new AbortController()
  const spinning = Promise.all(Array.from({ length: 4 }, () => codeOf(scene.plugin.call("spin", [], { deadlineMs: 60_000, signal: abort.signal }))))
  const seen = await lags(after(isFull ? 3_000 : 400))
  const before = performance.now()
  abort.abort()
  assert.ok(seen.length > 5, `the loop turned ${seen.length} times`)
  // Between two turns lies one stretch of one guest; the rest of the margin is for a machine that does other things.
  assert.ok((seen[Math.floor(seen.length * 0.5)] as number) <= 50, `half of all turns came within ${seen[Math.floor(seen.length * 0.5)]} ms`)
  assert.deepEqual(await spinning, [aborted, aborted, aborted, aborted])
  assert.ok(performance.now() - before < 20_000)
  assert.equal(await codeOf(scene.plugin.call("spin", [], { deadlineMs: 30 })), deadline)
  assert.equal(await codeOf(scene.plugin.call("spin", [], { fuel: 10_000_000n, deadlineMs: 60_000 })), "STELE-LIM-0009")
  assert.equal(scene.plugin.instances, 0)
})
