/**
 * For functions of any type: a guest that hands on what it got to the host, and back what the host answered, does the
 * same whether the host answers at once, later, or later while the guest is metered by fuel and gives the thread back.
 */
import fc from "../property.ts"
import t from "tap"
import { alignOf, flattenExport, flattenImport, sizeOf } from "../../host/abi/mod.ts"
import { Host, type LoadOptions, PluginError, waits } from "../../host/mod.ts"
import type { FunctionType } from "../../schemas/wit/model.ts"
import { arbitraryType, arbitraryValue, sameValue, witPackage } from "../schemas/arbitrary-type.ts"
import { bumpAllocator, componentOf } from "./component-builder.ts"
import { isFull, replay } from "../seed.ts"

const runs = isFull ? 500 : 25
t.setTimeout(1_200_000)
t.comment(`${replay}: ${runs} functions`)

const encodings = ["utf8", "utf16", "compact-utf16"] as const
const subject = arbitraryType({ levels: 3, flagsMax: 32 }).chain((type) =>
  fc.record({
    type: fc.constant(type),
    values: fc.array(arbitraryValue(type, { listMax: 60 }), { minLength: 2, maxLength: 2 }),
    encoding: fc.constantFrom(...encodings),
    extra: fc.constantFrom(0, 15),
  }),
)

/** Passes its parameters on and the answer back, through a place of its own where that does not fit a core value. */
function forwarding(type: FunctionType): string {
  const [outside, inside] = [flattenExport(type), flattenImport(type)]
  const isFlat = inside.results.length === 1
  const params = outside.params.map((one) => ` ${one}`).join("")
  const locals = outside.params.map((_, i) => `(local.get ${i})`).join(" ")
  const place = Math.ceil(1024 / alignOf(type.result as never)) * alignOf(type.result as never)
  return `(module
    (import "gen:types/api@0.1.0" "f0" (func $f (param${inside.params.map((one) => ` ${one}`).join("")}) (result${inside.results.map((one) => ` ${one}`).join("")})))
    ${bumpAllocator(4)
      .replace('(export "realloc")', '(export "cabi_realloc")')
      .replace("(i32.const 4096)", `(i32.const ${8192 + sizeOf(type.result as never)})`)}
    (func (export "gen:types/api@0.1.0#f0") (param${params}) (result ${outside.results[0]})
      (call $f ${locals} ${isFlat ? "" : `(i32.const ${place})`}) ${isFlat ? "" : `(i32.const ${place})`}))`
}

t.test("what a guest passes on is the same, whether the host answers at once or later, also the fuel and the bytes", async (t) => {
  await using host = await Host.open({ cache: false })
  let compared = 0
  for (const { type, values, encoding, extra } of fc.sample(subject, { numRuns: runs })) {
    const params = [{ label: "v", type }, ...Array.from({ length: extra }, (_, i) => ({ label: `x${i}`, type: { kind: "u8" } as const }))]
    const func: FunctionType = { kind: "function", params, result: type }
    const bytes = await componentOf(witPackage(new Map([["f0", func]])).text, forwarding(func), { world: "both", encoding })
    const ways: ReadonlyArray<LoadOptions & { readonly f0: (...args: ReadonlyArray<unknown>) => unknown }> = [
      { metering: "fuel", f0: (v) => v },
      { metering: "fuel", f0: async (v) => v },
      { metering: "yield", f0: async (v) => (await new Promise((turn) => setTimeout(turn, 0)), v) },
      { metering: "deadline", f0: waits((_wait, v) => v) as (...args: ReadonlyArray<unknown>) => unknown },
    ]
    for (const value of values) {
      const seen: Array<{ readonly answer: unknown; readonly fuel: bigint | undefined; readonly bytesIn: number; readonly bytesOut: number }> = []
      for (const { f0, ...options } of ways) {
        const plugin = await host.load(bytes, { ...options, imports: { "gen:types/api": { f0 } } })
        try {
          const { result, usage } = await plugin.callWithUsage("gen:types/api@0.1.0#f0", [value, ...Array.from({ length: extra }, (_, i) => i)])
          seen.push({ answer: type.kind === "result" ? { tag: "ok", ...(result === undefined ? {} : { val: result }) } : result, ...usage, fuel: usage.fuel })
        } catch (error) {
          if (!(error instanceof PluginError) || error.reason._tag !== "Guest") throw error
          const { payload } = error.reason
          seen.push({ answer: { tag: "err", ...(payload === undefined ? {} : { val: payload }) }, fuel: undefined, bytesIn: 0, bytesOut: 0 })
        }
        await plugin.close()
      }
      const [plain, ...others] = seen
      if (plain === undefined) throw new Error("nothing was seen")
      others.forEach((other, i) => {
        const isFuel = i < 2
        if (
          !sameValue(other.answer, plain.answer) ||
          (isFuel && other.fuel !== plain.fuel) ||
          other.bytesIn !== plain.bytesIn ||
          other.bytesOut !== plain.bytesOut
        )
          t.fail(
            `way ${i + 1} differs for ${JSON.stringify(type)}: ${String(other.fuel)} and ${String(plain.fuel)} fuel, ${other.bytesIn} and ${plain.bytesIn} bytes`,
          )
        compared++
      })
    }
  }
  t.equal(compared, runs * 6)
})
