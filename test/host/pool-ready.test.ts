/** Instances made ahead: a call that gets one must not be able to tell, nor may its usage record. */
import { execFile } from "node:child_process"
import { promisify } from "node:util"
import t from "tap"
import { Host, type LoadOptions, type Plugin, type SteleError } from "../../host/mod.ts"
import { memoryObserver } from "../../host/port/mod.ts"
import { guest, wat } from "./component-builder.ts"

const observer = memoryObserver()
const host = await Host.open({ cache: false, ports: { observer } })
t.teardown(() => host.close())

/** Its start function asks the host, grows the memory, makes a table of what the host said, and may be told to fail. */
const built = guest({
  core: `(import "host" "ask" (func $ask (param i32) (result i32)))
    (memory (export "memory") 1 20) (global $state (mut i32) (i32.const 0))
    (func $init (local $i i32)
      (drop (memory.grow (i32.const 3)))
      (loop $next
        (i32.store (i32.mul (local.get $i) (i32.const 4)) (i32.add (call $ask (local.get $i)) (local.get $i)))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br_if $next (i32.lt_u (local.get $i) (i32.const 5))))
      (if (i32.eq (i32.load (i32.const 0)) (i32.const 666)) (then unreachable))
      (if (i32.eq (i32.load (i32.const 0)) (i32.const 777)) (then (loop (br 0)))))
    (start $init)
    (func (export "step") (param $by i32) (result i32) (local $i i32)
      (loop $next (local.set $i (i32.add (local.get $i) (i32.const 1))) (br_if $next (i32.lt_u (local.get $i) (local.get $by))))
      (global.set $state (i32.add (i32.mul (global.get $state) (i32.const 31)) (i32.add (local.get $by) (i32.load (i32.const 8)))))
      (drop (memory.grow (i32.and (local.get $by) (i32.const 1))))
      (if (i32.gt_u (local.get $by) (i32.const 50)) (then (drop (call $ask (local.get $by)))))
      (i32.add (global.get $state) (memory.size)))
    (func (export "trap") unreachable)`,
  imports: { ask: `(param "n" u32) (result u32)` },
  exports: { step: `(param "by" u32) (result u32)`, trap: "" },
})
let answer = 5
const load = async (options: LoadOptions = {}): Promise<Plugin> => host.load(await built, { ...options, imports: { ask: (() => answer) as never } })

/** Until `count` are there; turns of the event loop are what makes them. */
async function filled(plugin: Plugin, count: number): Promise<void> {
  for (let turn = 0; turn < 500 && plugin.pool.ready < count; turn++) await new Promise((next) => setTimeout(next, 1))
}

t.test("instances are made ahead in turns of their own, taken by calls and made again", async (t) => {
  await using plugin = await load({ instances: { ready: 3 } })
  t.equal(plugin.pool.ready, 0)
  await filled(plugin, 3)
  t.match(plugin.pool, { ready: 3, live: 3, idle: 0, waiting: 0, made: 3, discarded: 0, memoryBytes: 3 * 4 * 65_536 })
  t.equal(plugin.callSync("step", [2]), 2 + 7 + 4)
  t.match(plugin.pool, { ready: 2, live: 2, made: 3, discarded: 1 }, "no instance was made for it, nor inside it")
  for (let i = 0; i < 5; i++) t.equal(plugin.callSync("step", [2]), 2 + 7 + 4, "calls that find none make their own")
  await filled(plugin, 3)
  t.match(plugin.pool, { ready: 3, live: 3 })
  await plugin.close()
  t.match(plugin.pool, { ready: 0, live: 0 })
})

for (const metering of ["deadline", "fuel"] as const)
  for (const reuse of ["never", "principal"] as const) {
    t.test(`results and usage are those of fresh instances over random calls (${metering}, reuse: ${reuse})`, async (t) => {
      const limits = { fuel: 5_000_000 }
      await using fresh = await load({ metering, limits, instances: { reuse, max: 4 } })
      await using ahead = await load({ metering, limits, instances: { reuse, max: 4, ready: 1 } })
      let random = 7
      const next = (below: number): number => ((random = (random * 1_103_515_245 + 12_345) & 0x7fff_ffff) >> 8) % below
      const outcome = async (plugin: Plugin, by: number, fuel: bigint | undefined) => {
        observer.drain()
        const options = fuel === undefined || metering !== "fuel" ? {} : { fuel }
        const answered = await (by === 99 ? plugin.callWithUsage("trap", [], options) : plugin.callWithUsage("step", [by], options)).then(
          ({ result }) => ({ result }),
          (error: SteleError) => ({ code: error.code, message: error.message }),
        )
        const usage = observer.drain().flatMap((event) => (event.type === "usage" ? [{ ...event.record, wallNs: 0 }] : []))
        return { answered, usage }
      }
      let exhausted = 0
      for (let i = 0; i < 120; i++) {
        const by = next(100)
        // Some have less than initialisation alone takes, and some less than both together.
        const fuel = next(4) === 0 ? BigInt(next(6_000)) : undefined
        if (next(3) > 0) await filled(ahead, 1)
        const expected = await outcome(fresh, by, fuel)
        t.same(await outcome(ahead, by, fuel), expected)
        if ("code" in expected.answered && expected.answered.code === "STELE-LIM-0009") exhausted++
      }
      if (metering === "fuel") t.ok(exhausted > 5, `${exhausted} calls ran out of fuel`)
    })
  }

/** What the observer is told, as soon as that is something, and what follows at once. */
async function tellings(): Promise<ReadonlyArray<unknown>> {
  const told: Array<unknown> = []
  for (let turn = 0; turn < 5_000 && told.length === 0; turn++) {
    await new Promise((next) => setTimeout(next, 1))
    told.push(...observer.drain())
  }
  await new Promise((next) => setTimeout(next, 20))
  return [...told, ...observer.drain()]
}

t.test("what fails while it is made ahead is told, and the call that would have used it gets its own answer", async (t) => {
  answer = 666
  observer.drain()
  await using plugin = await load({ instances: { ready: 2 } })
  const told = await tellings()
  t.match(told, [{ type: "stop", export: "(instantiate)", code: "STELE-PLG-0002" }])
  t.equal(told.length, 1, "once: nothing is tried again and again")
  t.throws(() => plugin.callSync("step", [2]), { code: "STELE-PLG-0002" })
  t.match(plugin.pool, { live: 0, ready: 0, made: 2, discarded: 2 })
  answer = 5
  t.equal(plugin.callSync("step", [2]), 2 + 7 + 4)
  await filled(plugin, 2)
  t.equal(plugin.pool.ready, 2, "once a call's own has started, others are made again")
})

t.test("an endless initialisation is stopped by the plugin's own limit, and holds nothing up", async (t) => {
  answer = 777
  observer.drain()
  await using plugin = await load({ instances: { ready: 1 }, limits: { deadlineMs: 30 } })
  t.match(await tellings(), [{ type: "stop", code: "STELE-LIM-0010" }])
  t.equal(plugin.pool.live, 0)
  answer = 5
})

t.test("an instance that asked the host while it was made is not used after a grant has changed", async (t) => {
  await using plugin = await load({ grants: ["log"], instances: { ready: 2 } })
  await filled(plugin, 2)
  const { made } = plugin.pool
  plugin.revoke("log")
  t.equal(plugin.callSync("step", [2]), 2 + 7 + 4)
  t.match(plugin.pool, { made: made + 1, live: 0 }, "both were discarded, and the call made its own")
})

t.test("a call with an environment of its own gets no instance whose initialisation asked for another", async (t) => {
  const reads = `(import "wasi_snapshot_preview1" "environ_sizes_get" (func $sizes (param i32 i32) (result i32))) (memory (export "memory") 1)`
  const asks = await wat(`(module ${reads} (func (export "_initialize") (drop (call $sizes (i32.const 0) (i32.const 4))))
    (func (export "count") (result i32) (i32.load (i32.const 0))))`)
  await using plugin = await host.load(asks, { wasi: { env: { A: "1" } }, instances: { ready: 1 } })
  await filled(plugin, 1)
  t.equal(await plugin.call("count", [], { wasi: { env: { A: "1", B: "2", C: "3" } } }), 3)
  t.equal(plugin.pool.ready, 1, "it is still there")
  t.equal(await plugin.call("count", []), 1)
})

t.test("instances made ahead count in `instances.max`", async (t) => {
  await using plugin = await load({ instances: { max: 2, ready: 2 } })
  await filled(plugin, 2)
  t.equal(plugin.instances, 2)
  t.equal(plugin.callSync("step", [2]), 2 + 7 + 4)
  t.same(await Promise.all([1, 2, 3, 4].map(() => plugin.call("step", [2]))), [13, 13, 13, 13])
  await t.rejects(load({ instances: { max: 2, ready: 3 } }), { code: "STELE-CFG-0002", message: /instances.ready/ })
  for (const ready of [-1, 0.5, 1_001]) await t.rejects(load({ instances: { ready } }), { code: "STELE-CFG-0002" })
})

t.test("instances made ahead that a call may not have do not keep it waiting when there may be no more", async (t) => {
  await using plugin = await load({ metering: "fuel", instances: { max: 1, ready: 1 } })
  await filled(plugin, 1)
  t.throws(() => plugin.callSync("step", [2], { fuel: 10n }), { code: "STELE-LIM-0009" })
  await filled(plugin, 1)
  await t.rejects(plugin.call("step", [2], { fuel: 10n }), { code: "STELE-LIM-0009" })
  t.equal(await plugin.call("step", [2]), 13)
})

t.test("a replaced component's instances made ahead are discarded, and the new one has its own", async (t) => {
  await using plugin = await load({ instances: { ready: 2 } })
  await filled(plugin, 2)
  await plugin.replace(await built)
  t.equal(plugin.pool.live, 0)
  await filled(plugin, 2)
  t.match(plugin.pool, { ready: 2, live: 2 })
})

t.test("making instances ahead keeps no process alive", async (t) => {
  const program = `import { Host } from ${JSON.stringify(new URL("../../host/mod.ts", import.meta.url).href)}
    const host = await Host.open({ cache: false })
    await host.load(Uint8Array.from(atob(${JSON.stringify(Buffer.from("AGFzbQEAAAABBAFgAAADAgEABwUBAWYAAAoEAQIACw==", "base64").toString("base64"))}), (c) => c.charCodeAt(0)), { instances: { ready: 100 } })
    console.log("loaded")`
  const beganMs = performance.now()
  const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "--eval", program], { timeout: 60_000 })
  t.equal(stdout, "loaded\n")
  t.ok(performance.now() - beganMs < 60_000)
})
