/**
 * Runs random guests under `fuel` on the engine that runs it and prints, as one JSON line, what each did: outcome, fuel,
 * a digest of memory and globals; and the same when the fuel ends half way, in one slice and in small ones. Arguments:
 * seed, count.
 */
import { type Guest, instantiate, outcome } from "./meter-harness.ts"
import { randomGuest } from "./meter-guests.ts"

export interface MeterReport {
  /** `outcome|fuel used|state` by guest; trap messages differ between engines and are left out. */
  readonly whole: ReadonlyArray<string>
  /** The same with half the fuel. */
  readonly half: ReadonlyArray<string>
  /** Guests whose half run depended on the slices. */
  readonly sliced: ReadonlyArray<string>
  /** Guests whose float bits a plain run shows as NaN of another kind: evidence that canonicalisation had work. */
  readonly traps: number
}

const imports = { env: { mix: (x: number): number => Math.imul(x, 0x9e3779b1) ^ (x >>> 15) } }

/** FNV-1a over memory and globals. */
const state = (guest: Guest): string => {
  const { memory, sum, counter } = guest.all as { memory: WebAssembly.Memory; sum: WebAssembly.Global; counter: WebAssembly.Global }
  let hash = 0x811c9dc5
  const words = new Int32Array(memory.buffer)
  for (let i = 0; i < words.length; i++) hash = Math.imul(hash ^ (words[i] as number), 0x01000193)
  return `${hash >>> 0} ${String(sum.value)} ${String(counter.value)} ${words.length}`
}

const run = (bytes: Uint8Array<ArrayBuffer>, fuel: bigint, slice: bigint): { readonly text: string; readonly used: bigint } => {
  const guest = instantiate(bytes, { tier: "fuel", imports, fuel, slice, pages: 4 })
  const result = outcome(() => guest.exports["run"]?.(3, 5)).replace(/^(trap|range):.*/, "$1")
  const exhausted = guest.left() < 0n
  return { text: `${exhausted ? "exhausted" : result}|${guest.used()}|${state(guest)}`, used: guest.used() }
}

const [seedText = "1", countText = "1"] = process.argv.slice(2)
const whole: Array<string> = []
const half: Array<string> = []
const sliced: Array<string> = []
let traps = 0
for (let i = 0; i < Number(countText); i++) {
  const bytes = randomGuest(Number(seedText) + i, true)
  const full = run(bytes, 1n << 40n, 1n << 40n)
  whole.push(full.text)
  if (full.text.startsWith("trap")) traps++
  const budget = full.used / 2n
  const once = run(bytes, budget, budget)
  half.push(once.text)
  for (const slice of [1n, 37n, 1_000n]) if (run(bytes, budget, slice).text !== once.text) sliced.push(`seed ${Number(seedText) + i}, slices of ${slice}`)
}
const report: MeterReport = { whole, half, sliced, traps }
console.log(JSON.stringify(report))
