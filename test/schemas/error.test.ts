/** The catalogue of errors: what every reason must say of itself. */
import "../../schemas/error/composition.ts"
import "../../schemas/error/pool.ts"
import "../../schemas/error/network.ts"
import "../../schemas/error/author.ts"
import "../../schemas/error/billing.ts"
import "../../schemas/error/encode.ts"
import "../../schemas/error/fpga.ts"
import "../../schemas/error/generate.ts"
import "../../schemas/error/http.ts"
import "../../schemas/error/accelerate.ts"
import "../../schemas/error/kernel.ts"
import "../../schemas/error/replacement.ts"
import "../../schemas/error/storage.ts"
import "../../schemas/error/wit-source.ts"
import t from "tap"
import { errorExplanation } from "../../schemas/error/explain.ts"
import { CapabilityError, catalogue, LimitError, limits, PluginError, SteleError, WitError } from "../../schemas/error/mod.ts"

/** Data of any shape: an array reads as text in a template, and has `join`, `length` and elements. */
const anything = new Proxy({}, { get: (_target, key) => (typeof key === "string" ? ["Sample"] : undefined) }) as never

t.test("every reason has a code, a status, an exit code, an explanation and a fix", async (t) => {
  t.ok(catalogue.size >= 45, `${catalogue.size} reasons`)
  for (const [code, { family, reason, spec }] of catalogue) {
    const name = `${code} ${family}.${reason}`
    t.match(code, /^STELE-[A-Z]{2,4}-\d{4}$/, name)
    t.equal(spec.code, code)
    t.ok(spec.status >= 400 && spec.status < 600, `${name}: status ${spec.status}`)
    t.ok([1, 2, 3, 4, 5, 6, 7, 69, 130].includes(spec.exit), `${name}: exit ${spec.exit}`)
    const explanation = errorExplanation(code, reason) ?? ""
    t.match(explanation, /^["A-Z`].*\.$/s, `${name}: the explanation is sentences`)
    const message = String(spec.message(anything))
    t.match(message, /^[A-Z"]/, `${name}: "${message}" is sentence case`)
    t.notMatch(message, /\.$/, `${name}: "${message}" has no period`)
    const fix = String(spec.fix(anything))
    t.ok(fix.length > 0 && !fix.endsWith("."), `${name}: fix "${fix}"`)
    t.notMatch(`${explanation}${message}${fix}`, /undefined|\[object/, name)
  }
})

/** Numbers that no reason has: they lie between those of areas, and are never given out. */
const unused: Readonly<Record<string, ReadonlyArray<number>>> = { "STELE-STO": [29, 43, 44, 45, 46, 47, 48, 49, 64] }

t.test("codes of one family are numbered without gaps but the known ones, so that none is reused", async (t) => {
  const families = new Map<string, Array<number>>()
  for (const code of catalogue.keys()) {
    const [prefix, number] = [code.slice(0, -5), Number(code.slice(-4))]
    families.set(prefix, [...(families.get(prefix) ?? []), number])
  }
  for (const [prefix, numbers] of families)
    t.strictSame(
      [...numbers, ...(unused[prefix] ?? [])].toSorted((a, b) => a - b),
      Array.from({ length: Math.max(...numbers) }, (_, i) => i + 1),
      prefix,
    )
})

t.test("`SteleError.toJSON()` writes payloads of any host value as JSON", async (t) => {
  const payload = {
    at: 2n ** 64n,
    bytes: Uint8Array.of(0, 255),
    nan: Number.NaN,
    list: Float32Array.of(1.5, Infinity),
    longs: BigUint64Array.of(1n),
    none: undefined,
  }
  const error = new PluginError("Guest", { export: "a:b/c#d", payload })
  t.strictSame(JSON.parse(JSON.stringify(error)), {
    code: "STELE-PLG-0001",
    family: "PluginError",
    reason: "Guest",
    message: 'Plugin answered with an error from "a:b/c#d"',
    fix: "read the payload: it is the plugin's own answer",
    isRetryable: false,
    status: 422,
    data: { export: "a:b/c#d", payload: { at: "18446744073709551616", bytes: "AP8=", nan: "NaN", list: [1.5, "Infinity"], longs: ["1"] } },
  })
})

t.test("`SteleError` tells a typed refusal from a bug, with its reason", async (t) => {
  const error: unknown = new WitError("ArgumentCount", { export: "f", expected: 2, actual: 1 })
  t.ok(error instanceof SteleError && error instanceof WitError && !(error instanceof CapabilityError))
  t.match(error, {
    _tag: "WitError",
    name: "WitError",
    code: "STELE-WIT-0002",
    exitCode: 2,
    reason: { _tag: "ArgumentCount", expected: 2 },
    message: 'Cannot call "f" with 1 argument: it takes 2',
  })
  const cause = new Error("why")
  t.equal(new PluginError("Closed", { what: "the host" }, { cause }).cause, cause)
})

t.test("every limit has an error that names it, with its unit and default", async (t) => {
  for (const name of Object.keys(limits) as ReadonlyArray<keyof typeof limits>) {
    // Beyond 25 members the compiler no longer tells that a union of names fits each of them.
    const error = new LimitError(name as "fuel", { limit: limits[name].default, actual: limits[name].default + 1 })
    t.match(error.message, `"${name}"`)
    t.match(error.message, `${limits[name].default} ${limits[name].unit}`)
    t.match(error.fix, `limits.${name}`)
  }
})
