/**
 * Runs every call of `determinism-guests.ts` under `fuel`, cold and again when the engine has optimised it, and two
 * sweeps over fuel. `determinism-program.ts FOLDER CALLS.json STEP` prints one line of JSON.
 */
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { argv } from "node:process"
import { Host, SteleError } from "../../host/mod.ts"
import type { Call } from "./determinism-guests.ts"
import { instantiate } from "./meter-harness.ts"

export interface Report {
  /** By call: result bits or error, fuel, host calls seen. The same for every repetition, or they are joined by " / ". */
  readonly calls: Readonly<Record<string, string>>
  /** Non-canonical NaN results under `off`: what the processor makes of it. */
  readonly oddNaNsUnmetered: number
  /** Per fuel of the host sweep: how many host calls were seen, and whether the call ended; run-length coded. */
  readonly marks: string
  /** Fuel that was enough for the whole. */
  readonly enough: string
  /** Per fuel of the memory sweep: a digest of the progress in memory. */
  readonly progress: string
}

const [folder = "", callsJson = "[]", step = "1"] = argv.slice(2)
const calls = JSON.parse(callsJson) as ReadonlyArray<Call>
const bytes = async (name: string) => new Uint8Array(await readFile(join(folder, `${name}.wasm`)))

const bitsOf = (value: unknown): string => {
  if (typeof value !== "number") return String(value)
  const bits = new DataView(new ArrayBuffer(8))
  bits.setFloat64(0, value)
  return bits.getBigUint64(0).toString(16)
}

await using host = await Host.open({ cache: false })
let seen: Array<number> = []
let texts = 0
const imports = {
  mark: (n: number) => seen.push(n),
  ask: (text: string) => ((texts += text.length), `${text.length}:${"ä€𝄞".repeat(text.length % 7)}`),
}
const options = { metering: "fuel", limits: { fuel: 20_000_000, memoryBytesMax: 2 << 20, tableElementsMax: 5_000, deadlineMs: 60_000 } } as const
const plugins = {
  floats: await host.load(await bytes("floats"), options),
  work: await host.load(await bytes("work"), { ...options, imports: imports as never }),
  kernels: await host.load(await bytes("kernels"), { ...options, limits: { ...options.limits, fuel: Number.MAX_SAFE_INTEGER } }),
}

const observer = host.ports.observer as unknown as { drain(): ReadonlyArray<{ readonly type: string; readonly record?: { readonly fuel: bigint } }> }

/** One call, as text: what an embedder can know of it. */
async function run({ guest, name, args }: Call): Promise<string> {
  seen = []
  texts = 0
  observer.drain()
  let outcome: string
  try {
    outcome = bitsOf(await plugins[guest].call(name, args as never))
  } catch (error) {
    outcome = error instanceof SteleError ? `${error.code} ${error.message}` : `untyped ${String(error)}`
  }
  const fuel = observer.drain().find(({ type }) => type === "usage")?.record?.fuel
  const hosts = seen.length === 0 && texts === 0 ? "" : ` host calls ${seen.length} last ${seen.at(-1)} characters ${texts}`
  return `${outcome} fuel ${fuel}${hosts}`
}

const outcomes: Record<string, string> = {}
for (const call of calls) {
  const key = `${call.guest} ${call.name}(${call.args.join()})`
  const seenOutcomes = new Set([await run(call)])
  // Long enough for the optimising tiers; kernels are hot within one call.
  if (call.guest === "floats" && call.args.length === 0) for (let i = 0; i < 30; i++) seenOutcomes.add(await run(call))
  else seenOutcomes.add(await run(call))
  outcomes[key] = [...seenOutcomes].join(" / ")
}

// What the same NaNs are when nobody canonicalises them.
const off = await host.load(await bytes("floats"), { metering: "off" })
const oddNaNsUnmetered = Number(await off.call("odd-nans", []))

/** Equal neighbours as one. */
const coded = (items: ReadonlyArray<string>): string => {
  const out: Array<string> = []
  for (let i = 0, from = 0; i <= items.length; i++) {
    if (i < items.length && items[i] === items[from]) continue
    if (i > from) out.push(`${items[from]}×${i - from}`)
    from = i
  }
  return out.join(" ")
}

// Fuel from nothing to enough: where the guest was stopped, told by its host calls.
const sweep = { guest: "work", name: "marks", args: [12] } as const
const { usage } = await plugins.work.callWithUsage(sweep.name, sweep.args as never)
const enough = usage.fuel as bigint
const marks: Array<string> = []
for (let fuel = 0n; fuel <= enough + 20n; fuel += BigInt(step)) {
  seen = []
  let end = "ok"
  try {
    plugins.work.callSync(sweep.name, sweep.args as never, { fuel })
  } catch (error) {
    end = error instanceof SteleError ? error.code : String(error)
  }
  marks.push(`${seen.length}${end === "ok" ? "!" : end === "STELE-LIM-0009" ? "" : end}`)
}

// The same by its memory: every word of it that the guest wrote, after each amount of fuel.
const module = (await bytes("progress")) as Uint8Array<ArrayBuffer>
const progress: Array<string> = []
const whole = instantiate(module, { tier: "fuel" })
whole.exports["run"]?.(40)
for (let fuel = 0n; fuel <= whole.used() + 20n; fuel += BigInt(step)) {
  const guest = instantiate(module, { tier: "fuel", fuel, slice: 500n })
  try {
    guest.exports["run"]?.(40)
  } catch (error) {
    if (!(error instanceof WebAssembly.RuntimeError)) throw error
  }
  const words = new Uint32Array((guest.exports.memory as WebAssembly.Memory).buffer)
  let hash = words.length
  for (let i = 0; i < 700; i++) hash = (Math.imul(hash, 0x01000193) ^ (words[i] as number)) >>> 0
  progress.push(`${words[2]}:${hash.toString(36)}`)
}

const report: Report = { calls: outcomes, oddNaNsUnmetered, marks: coded(marks), enough: String(enough), progress: coded(progress) }
console.log(JSON.stringify(report))
