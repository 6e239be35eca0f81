/**
 * Random calls of every function of preview 1 with random addresses, lengths, descriptors and flags, from a guest whose
 * memory is random too. Each is answered with an errno or ends the call with a typed error, and the host goes on.
 */
import t from "tap"
import { Host } from "../../host/mod.ts"
import { memoryFileSystem, memoryMonotonicClock } from "../../host/port/mod.ts"
import { SteleError } from "../../schemas/error/mod.ts"
import { machineModule, signatures } from "./preview1-machine.ts"
import { isFull, replay, seed } from "../seed.ts"

const rounds = isFull ? 400 : 12
const callsInRound = 400
const memoryBytes = 131_072

/** mulberry32: the same calls for the same seed. */
function generator(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (state + 0x6d2b79f5) | 0
    let x = Math.imul(state ^ (state >>> 15), 1 | state)
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x
    return ((x ^ (x >>> 14)) >>> 0) % below
  }
}

const edges = [
  0,
  1,
  3,
  4,
  7,
  8,
  24,
  48,
  64,
  255,
  1_024,
  4_096,
  memoryBytes - 8,
  memoryBytes - 1,
  memoryBytes,
  0x7fff_ffff,
  0x8000_0000,
  0xffff_fff8,
  0xffff_ffff,
]
const wide = [0n, 1n, -1n, 0x1fff_ffffn, 1n << 32n, (1n << 53n) + 1n, -(1n << 63n), (1n << 63n) - 1n, 1_000_000n]
const texts = ["hello.txt", "folder", "folder/inner.txt", "../x", "/etc", "link", ".", "", "new", "a/../b"]

t.test(`${rounds * callsInRound} calls are answered, or end with a typed error`, async (t) => {
  const bytes = await machineModule()
  const names = Object.keys(signatures)
  const errors = new Map<string, number>()
  let answered = 0
  let succeeded = 0
  const host = await Host.open({ cache: false, ports: { monotonicClock: memoryMonotonicClock({ waitMsMax: 1 }) } })
  for (let each = seed; each < seed + rounds; each++) {
    const random = generator(each)
    const pick = <A>(of: ReadonlyArray<A>): A => of[random(of.length)] as A
    const fileSystem = memoryFileSystem({ "/box/hello.txt": "hello, world\n", "/box/folder/inner.txt": "inner" }, { totalBytesMax: 4 << 20 })
    const inner = await Host.open({ cache: false, ports: { fileSystem, monotonicClock: host.ports.monotonicClock } })
    const plugin = await inner.load(bytes, {
      grants: ["fs:read:/box", "fs:write:/box", "clock:wall", "clock:monotonic", "random"],
      instances: { reuse: "principal" },
      limits: { deadlineMs: 2_000, fileBytesMax: 1 << 20, fuel: 1_000_000_000 },
      metering: each % 2 === 0 ? "fuel" : "deadline",
      wasi: { args: ["fuzz"], env: { A: "b" }, directories: { "/box": "/box" }, stdin: "some input", stdout: () => undefined, stderr: () => undefined },
    })
    const call = (name: string, args: ReadonlyArray<number | bigint>): unknown => plugin.callSync(name as never, args as never)
    const text = (at: number, value: string): void => {
      for (const [i, byte] of new TextEncoder().encode(value).entries()) call("store8", [at + i, byte])
    }
    for (let i = 0; i < callsInRound; i++) {
      try {
        // Something at the addresses that calls will name: texts, buffers, numbers.
        if (random(3) === 0) text(1_024, pick(texts))
        if (random(3) === 0) for (let at = 0; at < 16; at += 4) text(64 + at, String.fromCharCode(random(128), random(4), random(2), 0))
        const name = pick(names)
        const args = [...(signatures[name] as string)].map((letter, position) =>
          letter === "I" ? pick(wide) : (position === 0 && random(4) > 0 ? random(9) : random(3) === 0 ? random(memoryBytes) : pick([...edges, 1_024])) | 0,
        )
        const errno = call(name, args)
        if (typeof errno !== "number" || errno < 0 || errno > 76)
          return t.fail(`${replay}, round ${each - seed}: ${name}(${args.join(", ")}) answered ${String(errno)}`)
        answered++
        if (errno === 0) succeeded++
      } catch (error) {
        if (!(error instanceof SteleError)) throw error
        if (error.code === "STELE-PLG-0009") t.fail(`${replay}, round ${each - seed}: ${error.message}`)
        errors.set(error.code, (errors.get(error.code) ?? 0) + 1)
      }
    }
    t.equal(call("sched_yield", []), 0, `${replay}, round ${each - seed}: the next call works`)
    await inner.close()
  }
  await host.close()
  t.comment(`${answered} answered, ${succeeded} of them with success; ${[...errors].map(([code, count]) => `${code} ${count}`).join(", ")}`)
  t.ok(answered > rounds * 100, "most calls are answered")
  t.ok(succeeded > rounds * 20, "and many do something")
})
