/** The pool under guests that trap, never end, exhaust what they may have, and calls that are given up: what was made is discarded or alive. */
import t from "tap"
import { type GuestResource, Host, type SteleError } from "../../host/mod.ts"
import { componentOf } from "./component-builder.ts"
import { isFull } from "../seed.ts"

const rounds = isFull ? 24_000 : 1_200
const host = await Host.open({ cache: false })
t.teardown(() => host.close())

const hostile = componentOf(
  `package test:bad;
  interface api {
    resource thing { constructor(); poke: func() -> u32; }
    fine: func(n: u32) -> u32; trap: func(); spin: func(); deep: func() -> u32; grow: func() -> u32; hold: func() -> thing;
  }
  world w { export api; }`,
  `(module
    (import "[export]test:bad/api" "[resource-new]thing" (func $new (param i32) (result i32)))
    (memory (export "memory") 1) (global $n (mut i32) (i32.const 0))
    (func (export "_initialize") (global.set $n (i32.const 1)))
    (func (export "test:bad/api#[constructor]thing") (result i32) (call $new (i32.const 8)))
    (func (export "test:bad/api#[method]thing.poke") (param i32) (result i32) (if (i32.eq (global.get $n) (i32.const 3)) (then unreachable)) (global.set $n (i32.add (global.get $n) (i32.const 1))) (global.get $n))
    (func (export "test:bad/api#[dtor]thing") (param i32) (if (i32.eq (global.get $n) (i32.const 2)) (then unreachable)))
    (func (export "test:bad/api#fine") (param i32) (result i32) (i32.mul (local.get 0) (i32.const 3)))
    (func (export "test:bad/api#trap") unreachable)
    (func (export "test:bad/api#spin") (loop (br 0)))
    (func $deep (export "test:bad/api#deep") (result i32) (i32.add (call $deep) (i32.const 1)))
    (func (export "test:bad/api#grow") (result i32) (loop (br_if 0 (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable)
    (func (export "test:bad/api#hold") (result i32) (call $new (i32.const 8))))`,
)

for (const options of [
  { instances: { ready: 3, max: 6, queue: 20 } },
  { instances: { reuse: "principal", ready: 1, max: 4, idle: 2, queue: 20 } },
  { metering: "fuel", instances: { ready: 2, max: 6, queue: 20 } },
] as const) {
  t.test(`no instance is lost over ${rounds} hostile calls (${JSON.stringify(options)})`, async (t) => {
    await using plugin = await host.load(await hostile, { ...options, limits: { memoryBytesMax: 4 << 20, fuel: 300_000, deadlineMs: 5_000 } })
    let state = 99
    const next = (below: number): number => ((state = (state * 1_103_515_245 + 12_345) & 0x7fff_ffff) >> 8) % below
    const held: Array<GuestResource> = []
    const outcomes = new Map<string, number>()
    const count = (what: string): void => void outcomes.set(what, (outcomes.get(what) ?? 0) + 1)
    const name = (of: string): string => `test:bad/api#${of}`
    const one = async (): Promise<void> => {
      const abort = new AbortController()
      const options = { deadlineMs: 20 + next(30), ...(next(5) === 0 ? { signal: abort.signal } : {}) }
      const kind = next(20)
      const n = next(1_000)
      const made =
        kind < 9
          ? plugin.call(name("fine"), [n], options).then((answer) => t.equal(answer, n * 3))
          : kind < 11
            ? plugin.call(name("trap"), [], options)
            : kind === 11 && next(4) === 0
              ? plugin.call(name("spin"), [], { ...options, deadlineMs: 2 })
              : kind === 12
                ? plugin.call(name("deep"), [], options)
                : kind === 13
                  ? plugin.call(name("grow"), [], options)
                  : kind < 16
                    ? plugin.call(name("hold"), [], options).then((thing) => void held.push(thing as GuestResource))
                    : kind < 18 && held.length > 0
                      ? plugin.call(name("[method]thing.poke"), [held[next(held.length)]], options)
                      : Promise.resolve()
      if (next(3) === 0) abort.abort()
      // More are held than there may be instances: calls wait, and some are refused.
      while (held.length > next(8)) {
        try {
          held.splice(next(held.length), 1)[0]?.[Symbol.dispose]()
        } catch (error) {
          count((error as SteleError).code)
        }
      }
      await made.then(
        () => count("ok"),
        (error: SteleError) => count(error.code),
      )
      const { discarded, live, made: all, ready, idle } = plugin.pool
      if (all !== discarded + live || ready + idle > live || live > 6) t.fail(`made ${all}, discarded ${discarded}, live ${live}, ready ${ready}, idle ${idle}`)
    }
    for (let round = 0; round < rounds; round += 12) await Promise.all(Array.from({ length: 12 }, one))
    for (const thing of held.splice(0)) {
      try {
        thing[Symbol.dispose]()
      } catch (error) {
        count((error as SteleError).code)
      }
    }
    t.ok((outcomes.get("ok") ?? 0) > rounds / 10, JSON.stringify(Object.fromEntries(outcomes)))
    for (const code of ["STELE-PLG-0002", "STELE-PLG-0005", "STELE-LIM-0003"]) t.ok((outcomes.get(code) ?? 0) > 0, code)
    await new Promise((done) => setTimeout(done, 20))
    const { discarded, live, made, waiting } = plugin.pool
    t.equal(made, discarded + live)
    t.equal(waiting, 0)
    t.ok(live <= 4, `${live} live: those made ahead and those kept`)
    await plugin.close()
    t.match(plugin.pool, { live: 0, discarded: made })
  })
}
