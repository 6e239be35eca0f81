/** What the asynchronous ABI does, alike on every engine: run in this process by `async.test.ts`, elsewhere by `async-program.ts`. */
import { deepEqual, equal, ok, rejects } from "node:assert/strict"
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { Host, type LoadOptions, type Plugin, SteleError, type UsageRecord, waits } from "../../host/mod.ts"
import { memoryObserver } from "../../host/port/mod.ts"
import { hostileExports } from "./async-guests.ts"

export interface Case {
  readonly title: string
  readonly run: (folder: string) => Promise<void>
  /** It needs an engine that suspends. */
  readonly suspends?: true
}

type Args = ReadonlyArray<never>
const given = (...args: ReadonlyArray<unknown>): Args => args as Args
const soon = <A>(value: A, ms = 2): Promise<A> => new Promise((resolve) => setTimeout(() => resolve(value), ms))
const later = async (x: number): Promise<number> => soon(x * 2)

async function withGuest(folder: string, name: string, options: LoadOptions, use: (plugin: Plugin, host: Host) => Promise<void>): Promise<void> {
  await using host = await Host.open({ cache: false })
  const plugin = await host.load(await readFile(join(folder, `${name}.wasm`)), { ...options, limits: { deadlineMs: 20_000, ...options.limits } })
  await use(plugin, host)
  // Whatever ran is gone, with all that it held.
  await until(() => plugin.instances === 0)
}

/** Waits, in turns of the event loop, for what must come by itself. */
async function until(isSo: () => boolean): Promise<void> {
  for (const endMs = performance.now() + 20_000; !isSo();) {
    if (performance.now() > endMs) throw new Error(`Not within 20 s: ${String(isSo)}`)
    await soon(undefined, 1)
  }
}

const codeOf = async (call: Promise<unknown>): Promise<string> =>
  call.then(
    (value) => `answered ${String(value)}`,
    (error: unknown) => (error instanceof SteleError ? error.code : `untyped ${String(error)}`),
  )

async function* bytes(...pieces: ReadonlyArray<ReadonlyArray<number>>): AsyncGenerator<Uint8Array> {
  for (const piece of pieces) {
    await soon(undefined, 1)
    yield Uint8Array.from(piece)
  }
}

async function all<A>(stream: AsyncIterable<A>): Promise<Array<A>> {
  const found: Array<A> = []
  for await (const item of stream) found.push(item)
  return found
}

const joined = (pieces: ReadonlyArray<Uint8Array>): Array<number> => pieces.flatMap((piece) => Array.from(piece))
const upTo = (n: number): Array<number> => Array.from({ length: n }, (_, i) => i & 0xff)

export const cases: ReadonlyArray<Case> = [
  {
    title: "a callback-lifted export answers when its host function answers at once, and when it answers later",
    run: async (folder) => {
      await withGuest(folder, "caller", { imports: { f: ((x: number) => x + 1) as never } }, async (plugin) => equal(await plugin.call("run", given(20)), 1021))
      await withGuest(folder, "caller", { imports: { f: later as never } }, async (plugin) => {
        equal(await plugin.call("run", given(20)), 40)
        deepEqual(await Promise.all([1, 2, 3].map((x) => plugin.call("run", given(x)))), [2, 4, 6])
      })
    },
  },
  {
    title: "`callSync` answers where nothing has to be waited for, and is refused where something has",
    run: async (folder) => {
      await withGuest(folder, "caller", { imports: { f: ((x: number) => x + 1) as never } }, async (plugin) => equal(plugin.callSync("run", given(20)), 1021))
      await withGuest(folder, "caller", { imports: { f: later as never } }, async (plugin) => {
        equal(await codeOf(Promise.resolve().then(() => plugin.callSync("run", given(20)))), "STELE-ASY-0001")
        equal(await plugin.call("run", given(20)), 40)
      })
    },
  },
  {
    title: "a stream of bytes goes in from whatever can be iterated, and is let go of once",
    run: (folder) =>
      withGuest(folder, "bytes", {}, async (plugin) => {
        equal(await plugin.call("sum", given(bytes([1, 2, 3], [], upTo(100), [4]))), 10 + 4950)
        equal(await plugin.call("sum", given([Uint8Array.of(1), Uint8Array.of(2)])), 3)
        equal(await plugin.call("sum", given(Uint8Array.from(upTo(40)))), 780)
        equal(await plugin.call("sum", given([1, 2, 3])), 6)
        equal(await plugin.call("sum", given([])), 0)
        equal(await plugin.call("sum", given(new Blob([Uint8Array.of(5, 6)]).stream())), 11)
        let closed = 0
        const counted = () => ({
          [Symbol.asyncIterator]: () => ({ next: async () => ({ done: false, value: Uint8Array.of(1) }), return: async () => void closed++ }),
        })
        const unread = { [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(new Error("asked")), return: async () => void closed++ }) }
        equal(await plugin.call("ignore", given(unread)), 7)
        equal(closed, 1)
        // Long enough for the call to begin on a busy machine: one that is stopped before has taken no stream.
        equal(await codeOf(plugin.call("sum", given(counted()), { deadlineMs: 500 })), "STELE-LIM-0010")
        await until(() => closed === 2)
      }),
  },
  {
    title: "what is no stream is refused with its path, and what a stream brings ends the call",
    run: (folder) =>
      withGuest(folder, "bytes", {}, async (plugin) => {
        await rejects(plugin.call("sum", given(5)), { code: "STELE-WIT-0001", message: /args\[0\]/ })
        await rejects(plugin.call("sum", given("text")), { code: "STELE-WIT-0001" })
        await rejects(plugin.call("sum", given(undefined)), { code: "STELE-WIT-0001" })
        equal(await codeOf(plugin.call("sum", given(["text"]))), "STELE-WIT-0001")
        equal(await codeOf(plugin.call("sum", given([300]))), "STELE-WIT-0001")
        const failing = (async function* () {
          yield Uint8Array.of(1)
          throw new Error("no more")
        })()
        await rejects(plugin.call("sum", given(failing)), { code: "STELE-PLG-0009", message: /no more/ })
      }),
  },
  {
    title: "a stream of bytes comes out as a ReadableStream, no faster than it is read",
    run: (folder) =>
      withGuest(folder, "bytes", {}, async (plugin) => {
        const stream = (await plugin.call("count", given(95))) as ReadableStream<Uint8Array>
        ok(stream instanceof ReadableStream)
        equal(plugin.instances, 1)
        deepEqual(joined(await all(stream)), upTo(95))
        deepEqual(joined(await all((await plugin.call("count", given(0))) as never)), [])
        const reader = ((await plugin.call("count", given(50))) as ReadableStream<Uint8Array>).getReader()
        deepEqual(await reader.read(), { done: false, value: Uint8Array.from(upTo(10)) })
        // The guest hears that nobody reads on.
        await reader.cancel()
        const same = (await plugin.call("same", given(bytes([1, 2], [3])))) as ReadableStream<Uint8Array>
        deepEqual(joined(await all(same)), [1, 2, 3])
        const large = (await plugin.call("same", given([Uint8Array.from(upTo(200_000))]))) as ReadableStream<Uint8Array>
        ok(Buffer.concat(await all(large as never)).equals(Uint8Array.from(upTo(200_000))), "in pieces, and each byte once")
        const failing = new ReadableStream({ pull: (controller) => controller.error(new Error("torn")) })
        await rejects(all((await plugin.call("same", given(failing))) as never), { code: "STELE-PLG-0009", message: /torn/ })
      }),
  },
  {
    title: "a stream that its guest leaves open, or fails to write, fails with the reason",
    run: (folder) =>
      withGuest(folder, "bytes", {}, async (plugin, host) => {
        const observed = host.ports.observer
        ok(observed !== undefined)
        await rejects(all((await plugin.call("left-open", given())) as never), { code: "STELE-ASY-0005" })
        await rejects(all((await plugin.call("fail-later", given(30))) as never), { code: "STELE-PLG-0002" })
        await rejects(all((await plugin.call("spin-later", given(30), { deadlineMs: 200 })) as never), { code: "STELE-LIM-0010" })
        const abort = new AbortController()
        const stream = (await plugin.call("count", given(30), { signal: abort.signal })) as ReadableStream<Uint8Array>
        abort.abort()
        await rejects(all(stream), { code: "STELE-PLG-0005" })
        // Never read: the deadline ends it.
        await plugin.call("count", given(30), { deadlineMs: 300 })
        await until(() => plugin.instances === 0)
      }),
  },
  {
    title: "stackful exports write and read streams and futures of numbers, texts and nothing",
    suspends: true,
    run: (folder) =>
      withGuest(folder, "stacks", { imports: { f: later as never } }, async (plugin) => {
        deepEqual(await all((await plugin.call("numbers", given(20))) as never), upTo(20))
        deepEqual(await all((await plugin.call("words", given())) as never), ["one", "two", "three"])
        deepEqual(await all((await plugin.call("ticks", given(3))) as never), [undefined, undefined, undefined])
        equal(await plugin.call("total", given([1, 2, 3, 4, 5])), 15)
        equal(
          await plugin.call(
            "total",
            given(
              (async function* () {
                yield 10
                await soon(0)
                yield 20
              })(),
            ),
          ),
          30,
        )
        equal(await plugin.call("first-word", given(["grüß", "x"])), "grüß")
        equal(await plugin.call("promise", given(21)), 42)
        equal(await plugin.call("await", given(soon(9))), 9)
        equal(await plugin.call("await", given(8)), 8)
        equal(await plugin.call("await-text", given(soon("later"))), "later")
        await rejects(plugin.call("await", given(Promise.reject(new Error("never")))), { code: "STELE-PLG-0009", message: /never/ })
        await rejects(plugin.call("await", given(soon("text"))), { code: "STELE-WIT-0001" })
        const [future, stream] = (await plugin.call("both", given())) as [Promise<number>, ReadableStream<number>]
        equal(await future, 41)
        deepEqual(await all(stream as never), [42])
        equal(await plugin.call("wait-set", given(bytesOf(7))), 2007)
      }),
  },
  {
    title: "a synchronous export waits for an asynchronous import, and keeps its context while it does",
    suspends: true,
    run: (folder) =>
      withGuest(folder, "stacks", { imports: { f: later as never } }, async (plugin) => {
        equal(await plugin.call("plain", given(4)), 9)
        equal(await plugin.call("wait-plain", given(77)), 77)
      }),
  },
  {
    title: "components call each other: at once, later, three at a time, cancelled, held back, and through streams",
    run: (folder) =>
      withGuest(folder, "composed", { imports: { f: later as never } }, async (plugin) => {
        equal(await plugin.call("run", given(5)), 111)
        equal(await plugin.call("eager", given(5)), 15)
        equal(await plugin.call("three", given(1)), 2 + 4 + 6 + 3)
        equal(await plugin.call("cancel", given(1)), 4)
        equal(await plugin.call("stream", given(1)), 9)
        deepEqual(joined(await all((await plugin.call("forward", given())) as never)), [1, 2, 3, 4, 5, 6, 7, 8])
      }),
  },
  {
    title: "a component's synchronous call of an asynchronous one suspends it",
    suspends: true,
    run: (folder) => withGuest(folder, "composed", { imports: { f: later as never } }, async (plugin) => equal(await plugin.call("waits", given(5)), 211)),
  },
  {
    title: "a call that its component holds back is cancelled before it starts; what is left waiting for ever ends the call",
    run: (folder) => withGuest(folder, "composed", { imports: { f: later as never } }, async (plugin) => equal(await plugin.call("held", given(5)), 5)),
  },
  {
    title: "a host function is given a guest's stream, and answers with one that the guest passes on",
    run: async (folder) => {
      const f = async (stream: ReadableStream<Uint8Array>) => {
        const got = joined(await all(stream))
        return bytes(
          got.map((byte) => byte + 1),
          [100],
        )
      }
      await withGuest(folder, "through", { imports: { f: f as never } }, async (plugin) => {
        deepEqual(joined(await all((await plugin.call("run", given(bytes([1, 2], [3])))) as never)), [2, 3, 4, 100])
      })
      const late = async (stream: ReadableStream<Uint8Array>) => {
        await stream.cancel()
        return 5
      }
      await withGuest(folder, "through", { imports: { f: late as never } }, async (plugin) => {
        await rejects(plugin.call("run", given(bytes([1]))), { code: "STELE-WIT-0001", message: /result/ })
      })
      // What the host is given counts for as long as it may be read.
      await withGuest(folder, "through", { imports: { f: (() => []) as never }, limits: { handlesMax: 100 } }, async (plugin) => {
        equal(await plugin.call("flood", given(100)), 100)
        await rejects(plugin.call("flood", given(101)), { code: "STELE-LIM-0008" })
      })
    },
  },
  {
    title: "an error context keeps its message on its way through a guest",
    run: (folder) =>
      withGuest(folder, "notes", {}, async (plugin) => {
        deepEqual(await plugin.call("complain", given("too late")), { debugMessage: "too late" })
        equal(await plugin.call("explain", given({ debugMessage: "grün" })), "grün")
        equal(await plugin.call("explain", given(new TypeError("typed"))), "typed")
        await rejects(plugin.call("explain", given("text")), { code: "STELE-WIT-0001", message: /args\[0\]/ })
      }),
  },
  {
    title: "a host function hears that its subtask was cancelled, and what it brings after that goes nowhere",
    run: async (folder) => {
      const heard: Array<string> = []
      const f = waits(async ({ signal }, x: number) => {
        signal.addEventListener("abort", () => heard.push(`cancelled ${x}`))
        await soon(undefined, 10)
        heard.push(`ended ${x}`)
        return x
      })
      await withGuest(folder, "composed", { imports: { f: f as never } }, async (plugin) => {
        equal(await plugin.call("cancel", given(3)), 4)
        deepEqual(heard, ["cancelled 3"])
        await until(() => heard.length === 2)
        deepEqual(heard, ["cancelled 3", "ended 3"])
      })
    },
  },
  {
    title: "fuel is charged for built-ins and callbacks, alike in each run, and ends endless yields",
    run: async (folder) => {
      const options: LoadOptions = { metering: "fuel", imports: { f: later as never } }
      await withGuest(folder, "composed", options, async (plugin) => {
        const used = [await plugin.callWithUsage("three", given(1)), await plugin.callWithUsage("three", given(1))].map(({ usage }) => usage.fuel)
        ok((used[0] as bigint) > 1_000n)
        equal(used[0], used[1])
        equal(await codeOf(plugin.call("three", given(1), { fuel: 500n })), "STELE-LIM-0009")
      })
      await withGuest(folder, "hostile", options, async (plugin) => {
        equal(await codeOf(plugin.call("yield-forever", given(), { fuel: 100_000n, deadlineMs: 20_000 })), "STELE-LIM-0009")
        equal(await codeOf(plugin.call("spin-after-return", given(), { fuel: 100_000n, deadlineMs: 20_000 })), "STELE-LIM-0009")
      })
    },
  },
  {
    title: "a call that asks the host without end keeps nothing of what has answered",
    run: async (folder) => {
      const kept = new Map<AbortSignal, number>()
      let most = 0
      const { addEventListener, removeEventListener } = AbortSignal.prototype
      const count = (signal: AbortSignal, change: number): void => {
        kept.set(signal, (kept.get(signal) ?? 0) + change)
        most = Math.max(most, ...kept.values())
      }
      AbortSignal.prototype.addEventListener = function (this: AbortSignal, ...args: Parameters<typeof addEventListener>) {
        count(this, 1)
        return addEventListener.apply(this, args)
      }
      AbortSignal.prototype.removeEventListener = function (this: AbortSignal, ...args: Parameters<typeof removeEventListener>) {
        count(this, -1)
        return removeEventListener.apply(this, args)
      }
      try {
        let asked = 0
        const f = waits(async ({ signal }, x: number) => (signal.aborted ? 0 : (asked++, x)))
        await withGuest(folder, "resting", { imports: { f: f as never } }, async (plugin) => {
          // The guest never drops its subtasks, so their number is what bounds it.
          const { ended } = await plugin.callWithUsage("run", given(2), { deadlineMs: 500 })
          await ended
        })
        ok(asked > 20, String(asked))
        ok(most < 4, `${most} of ${asked}`)
      } finally {
        Object.assign(AbortSignal.prototype, { addEventListener, removeEventListener })
      }
    },
  },
  {
    title: "a destructor and an allocator of another component have no slots of the task that runs",
    run: (folder) =>
      withGuest(folder, "dropping", {}, async (plugin) => {
        equal(await plugin.call("run", given()), 42)
        equal(await plugin.call("text", given()), 42)
      }),
  },
  {
    title: "a resource is not dropped into a component that holds its callers back",
    run: (folder) => withGuest(folder, "dropping", {}, async (plugin) => equal(await codeOf(plugin.call("held", given())), "STELE-ASY-0001")),
  },
  ...["donut-destructor", "donut-plain", "donut-sync-destructor", "donut-sync-plain"].map((name): Case => ({
    title: `a component is not entered again by the end of its own resource, dropped by whom it calls (${name})`,
    run: (folder) =>
      withGuest(folder, name, {}, async (plugin) => {
        equal(await plugin.call("own", given()), 1)
        await rejects(plugin.call("give", given()), { code: "STELE-PLG-0011", message: /entered again by a destructor/ })
      }),
  })),
  {
    title: "what a guest does after its answer is in the one record of its call: fuel, memory, time, host calls, and how it ended",
    run: async (folder) => {
      const observer = memoryObserver()
      const settled: Array<UsageRecord> = []
      const admission = {
        load: () => ({ admit: true }) as const,
        call: () => ({ admit: true, settle: (record: UsageRecord) => void settled.push(record) }) as const,
      }
      await using host = await Host.open({ cache: false, ports: { observer, admission } })
      const told = (): ReadonlyArray<UsageRecord> => {
        const records = observer.drain().flatMap((event) => (event.type === "usage" ? [event.record] : []))
        deepEqual(settled.splice(0), records, "whoever admitted it is told the same, at the same time")
        return records
      }
      for (const reuse of ["never", "principal"] as const) {
        let asked = 0
        const f = (x: number): number => (asked++, x)
        const plugin = await host.load(await readFile(join(folder, "resting.wasm")), {
          metering: "fuel",
          imports: { f: f as never },
          instances: { reuse, max: 1 },
          limits: { deadlineMs: 10_000, memoryBytesMax: 8 << 20 },
        })
        const { result, usage, ended } = await plugin.callWithUsage("run", given(0))
        equal(result, 1)
        deepEqual(told(), [])
        // The next call waits for the instance.
        const next = plugin.callWithUsage("run", given(0))
        const whole = await ended
        ok((usage.fuel as bigint) < 10_000n && (whole.fuel as bigint) > 300_000n, `${usage.fuel} and ${whole.fuel}`)
        equal(whole.memoryPeakBytes - usage.memoryPeakBytes, 8 * 65_536)
        equal(whole.outcome, "ok")
        ok(whole.wallNs >= usage.wallNs)
        await (
          await next
        ).ended
        equal(told()[0], whole)
        equal(asked, 2)
        equal((await (await plugin.callWithUsage("run", given(1))).ended).outcome, "STELE-PLG-0002")
        const spent = await (await plugin.callWithUsage("run", given(2), { fuel: 1_000_000n })).ended
        equal(spent.outcome, "STELE-LIM-0009")
        equal(spent.fuel, 1_000_000n)
        const late = await (await plugin.callWithUsage("run", given(2), { fuel: 10n ** 12n, deadlineMs: 100 })).ended
        equal(late.outcome, "STELE-LIM-0010")
        ok(late.wallNs >= 100e6)
        equal(told().length, 3)
        // What failed before its answer has one record as well, at once.
        equal(await codeOf(plugin.call("run", given(0), { fuel: 1n })), "STELE-LIM-0009")
        equal(told().length, 1)
        await plugin.close()
      }
    },
  },
  {
    title: "what a guest on a stack of its own does after its answer is in the record of its call",
    suspends: true,
    run: (folder) =>
      withGuest(folder, "resting-stack", { metering: "fuel" }, async (plugin) => {
        const { usage, ended } = await plugin.callWithUsage("run", given(0))
        ok((usage.fuel as bigint) < 10_000n && ((await ended).fuel as bigint) > 300_000n)
        equal((await (await plugin.callWithUsage("run", given(1))).ended).outcome, "STELE-PLG-0002")
      }),
  },
  {
    title: "under `yield` a task that computes gives the thread back and is aborted",
    suspends: true,
    run: (folder) =>
      withGuest(folder, "hostile", { metering: "yield", imports: { f: later as never } }, async (plugin) => {
        const abort = new AbortController()
        let turns = 0
        const ticking = setInterval(() => {
          if (++turns === 5) abort.abort()
        }, 1)
        equal(await codeOf(plugin.call("spin-after-return", given(), { signal: abort.signal, deadlineMs: 5_000, fuel: 10n ** 12n })), "STELE-PLG-0005")
        clearInterval(ticking)
        ok(turns >= 5)
      }),
  },
  {
    title: "an instance that is kept serves call after call, and none that was left with work under way",
    run: async (folder) => {
      await using host = await Host.open({ cache: false })
      const load = async (name: string): Promise<Plugin> =>
        host.load(await readFile(join(folder, `${name}.wasm`)), {
          imports: name === "bytes" ? {} : { f: later as never },
          instances: { reuse: "principal" },
          limits: { deadlineMs: 1_000 },
        })
      const composed = await load("composed")
      for (let i = 0; i < 5; i++) equal(await composed.call("run", given(i)), 2 * i + 101)
      equal(composed.pool.made, 1)
      const streams = await load("bytes")
      for (let i = 0; i < 3; i++) {
        // Its counter is kept, too.
        deepEqual(joined(await all((await streams.call("count", given(12))) as never)), upTo(36).slice(12 * i, 12 * i + 12))
      }
      equal(streams.pool.made, 1)
      await rejects(all((await streams.call("left-open", given())) as never), { code: "STELE-ASY-0005" })
      equal(await streams.call("sum", given([1, 2])), 3)
      equal(streams.pool.made, 2)
    },
  },
  {
    title: "a hundred calls and a thousand pieces at once keep to themselves",
    run: (folder) =>
      withGuest(folder, "bytes", { limits: { deadlineMs: 20_000 } }, async (plugin) => {
        const calls = Array.from({ length: 100 }, async (_, i) => joined(await all((await plugin.call("count", given(100 + i))) as never)))
        for (const [i, got] of (await Promise.all(calls)).entries()) deepEqual(got, upTo(100 + i))
      }),
  },
  {
    title: "what no guest may do ends the call with a typed error, and the next call works",
    run: (folder) =>
      withGuest(folder, "hostile", { imports: { f: (() => new Promise(() => undefined)) as never }, limits: { handlesMax: 300 } }, async (plugin) => {
        const endless = ["yield-forever", "poll-forever", "spin-after-return", "linger"]
        const outcomes: Record<string, string> = {}
        for (const name of hostileExports) outcomes[name] = await codeOf(plugin.call(name, given(), { deadlineMs: endless.includes(name) ? 200 : 10_000 }))
        deepEqual(outcomes, {
          ...Object.fromEntries(hostileExports.map((name) => [name, "STELE-PLG-0011"])),
          "wait-empty": "STELE-ASY-0004",
          "many-sets": "STELE-LIM-0008",
          "many-streams": "STELE-LIM-0008",
          "many-calls": "STELE-LIM-0008",
          "cancel-host": "answered 4",
          "yield-forever": "STELE-LIM-0010",
          "poll-forever": "STELE-LIM-0010",
          "trap-after-return": "STELE-PLG-0002",
          "spin-after-return": "STELE-LIM-0010",
          linger: "answered 1",
        })
        await until(() => plugin.instances === 0)
        equal(await plugin.call("cancel-host", given()), 4)
      }),
  },
]

async function* bytesOf(...values: ReadonlyArray<number>): AsyncGenerator<number> {
  await soon(undefined)
  yield* values
}

/** What an engine that cannot suspend refuses. */
export const refusals: ReadonlyArray<Case> = [
  {
    title: "a stackful lift is refused when its component is loaded",
    run: async (folder) => {
      await using host = await Host.open({ cache: false })
      await rejects(host.load(await readFile(join(folder, "stacks.wasm")), { imports: { f: ((x: number) => x) as never } }), {
        code: "STELE-ASY-0002",
        message: /asynchronous lift without a callback/,
      })
    },
  },
  {
    title: "a synchronous call that would have to wait is refused when it does, and the others work",
    run: (folder) =>
      withGuest(folder, "composed", { imports: { f: later as never } }, async (plugin) => {
        equal(await codeOf(plugin.call("waits", given(5))), "STELE-ASY-0001")
        equal(await plugin.call("run", given(5)), 111)
      }),
  },
]
