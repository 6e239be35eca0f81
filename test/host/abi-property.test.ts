/** Host-side round trips over arbitrary types and values, each direction against the slow reference. */
import fc from "fast-check"
import t from "tap"
import { bindExport, bindImport, type CoreFunction, type CoreValue, flattenExport, flattenImport, type StringEncoding } from "../../host/abi/mod.ts"
import { alignOf, sizeOf } from "../../host/abi/layout.ts"
import { type FunctionType, own, type ResourceType, resource, type ValueType } from "../../schemas/wit/model.ts"
import { arbitraryType, arbitraryValue, Coverage, sameValue } from "../schemas/arbitrary-type.ts"
import { encodings, guest } from "./abi-guest.ts"
import { alignment, type CoreTyped, flatten, liftFlat, load, lowerFlat, size, store } from "./abi-reference.ts"

const seed = Number(process.env["STELE_SEED"] ?? Date.now() % 2 ** 31)
const runs = process.env["STELE_TEST_FULL"] === "1" ? 3_000 : 250
t.comment(`seed ${seed}, ${runs} runs a property (STELE_SEED replays)`)

const typeOptions = { levels: 3 }
const typedValue = arbitraryType(typeOptions).chain((type) =>
  fc.record({ type: fc.constant(type), value: arbitraryValue(type, { listMax: 300 }), encoding: fc.constantFrom(...encodings) }),
)

/** A function of one parameter and a result, both of `type`, where that gives both flat and stored forms. */
const echoType = (type: ValueType, extra = 0): FunctionType => ({
  kind: "function",
  params: [{ label: "v", type }, ...Array.from({ length: extra }, (_, i) => ({ label: `x${i}`, type: { kind: "u8" } as const }))],
  result: type,
})

/** Guest code that calls an import of the same type with the arguments it got, in a result area of its own. */
function forward(type: FunctionType, imported: CoreFunction, alloc: (align: number, bytes: number) => number): CoreFunction {
  const result = type.result as ValueType
  return (...args) => {
    if (flattenImport(type).results.length === 1) return imported(...args)
    const at = alloc(alignOf(result), sizeOf(result))
    imported(...args, at)
    return at
  }
}

t.test("`sizeOf()`, `alignOf()` and `flattenExport()` agree with the reference for any type", (t) => {
  const coverage = new Coverage()
  fc.assert(
    fc.property(arbitraryType(typeOptions), (type) => {
      coverage.type(type)
      const flat = flatten(type)
      const signature = flattenExport({ kind: "function", params: [{ label: "v", type }], result: type })
      const lowered = flattenImport({ kind: "function", params: [{ label: "v", type }], result: type })
      const params = flat.length > 16 ? ["i32"] : flat
      return (
        sizeOf(type) === size(type) &&
        alignOf(type) === alignment(type) &&
        String(signature.params) === String(params) &&
        String(signature.results) === String(flat.length > 1 ? ["i32"] : flat) &&
        String(lowered.params) === String(flat.length > 1 ? [...params, "i32"] : params) &&
        String(lowered.results) === String(flat.length > 1 ? [] : flat)
      )
    }),
    { seed, numRuns: Math.max(runs, 1_500) },
  )
  t.comment(coverage.report())
  t.strictSame(coverage.missing(), [], "every constructor, join and size was met")
  t.end()
})

t.test("`bindExport()` and `bindImport()` return what they were given, flat and through memory", (t) => {
  fc.assert(
    fc.property(typedValue, fc.constantFrom(0, 15), ({ type, value, encoding }, extra) => {
      const { cx, realloc } = guest()
      const func = echoType(type, extra)
      const imported = bindImport(func, encoding, "echo")(cx, ([v]) => v)
      const core = forward(func, imported, (align, bytes) => realloc(0, 0, align, bytes))
      const back = bindExport(func, encoding, "echo").call(cx, core, undefined, [value, ...Array.from({ length: extra }, (_, i) => i)])
      return sameValue(back, value)
    }),
    { seed, numRuns: runs },
  )
  t.pass("all values came back")
  t.end()
})

t.test("`bindExport()` lowers what the reference lifts, and lifts what the reference lowers", (t) => {
  fc.assert(
    fc.property(typedValue, ({ type, value, encoding }) => {
      const { cx, realloc, reference } = guest()
      const memory = reference(encoding)
      const flat = flatten(type)
      const core: CoreFunction = (...args) => {
        const lifted = flat.length > 16 ? load(memory, Number(args[0]) >>> 0, type) : liftFlat(memory, coreTyped(flat, args), type)
        if (!sameValue(lifted, value)) throw new Error("lowered another value")
        if (flat.length <= 1) return lowerFlat(memory, value, type)[0]?.value
        const at = realloc(0, 0, alignment(type), size(type))
        store(memory, value, type, at)
        return at
      }
      return sameValue(bindExport(echoType(type), encoding, "echo").call(cx, core, undefined, [value]), value)
    }),
    { seed, numRuns: runs },
  )
  t.pass("all values agree")
  t.end()
})

t.test("`bindImport()` lifts what the reference lowers, and lowers what the reference lifts", (t) => {
  fc.assert(
    fc.property(typedValue, ({ type, value, encoding }) => {
      const { cx, realloc, reference } = guest()
      const memory = reference(encoding)
      const flat = flatten(type)
      let seen: unknown
      const imported = bindImport(echoType(type), encoding, "echo")(cx, ([v]) => {
        seen = v
        return v
      })
      const args = flat.length > 16 ? [stored(memory, value, type)] : lowerFlat(memory, value, type).map((core) => core.value)
      if (flat.length <= 1) {
        const returned = imported(...args) as CoreValue
        return sameValue(seen, value) && sameValue(liftFlat(memory, coreTyped(flat, [returned]), type), value)
      }
      const at = realloc(0, 0, alignment(type), size(type))
      imported(...args, at)
      return sameValue(seen, value) && sameValue(load(memory, at, type), value)
    }),
    { seed, numRuns: runs },
  )
  t.pass("all values agree")
  t.end()
})

t.test("strings with lone surrogates arrive with U+FFFD in every encoding, alone and in lists", (t) => {
  const string = fc.oneof(fc.string({ unit: fc.integer({ min: 0, max: 0xffff }).map((unit) => String.fromCharCode(unit)), maxLength: 60 }), fc.string({ unit: "binary" }))
  fc.assert(
    fc.property(string, fc.constantFrom(...encodings), (value, encoding) => {
      const { cx, realloc } = guest()
      const type: FunctionType = echoType({ kind: "tuple", types: [{ kind: "string" }, { kind: "list", element: { kind: "string" } }] })
      const imported = bindImport(type, encoding, "echo")(cx, ([v]) => v)
      const core = forward(type, imported, (align, bytes) => realloc(0, 0, align, bytes))
      return sameValue(bindExport(type, encoding, "echo").call(cx, core, undefined, [[value, [value, ""]]]), [value.toWellFormed(), [value.toWellFormed(), ""]])
    }),
    { seed, numRuns: runs * 4 },
  )
  t.pass("all strings arrived")
  t.end()
})

t.test("values with owned handles keep their reps, and leave no handle behind", (t) => {
  const resources: ReadonlyArray<ResourceType> = [resource("file"), resource("socket")]
  const values = arbitraryType({ ...typeOptions, resources, borrows: false }).chain((type) =>
    fc.record({ type: fc.constant(type), value: arbitraryValue(type, { listMax: 30, handle: () => fc.integer({ min: 0, max: 2 ** 31 }) }) }),
  )
  let handled = 0
  fc.assert(
    fc.property(values, ({ type, value }) => {
      const { cx, realloc, handles } = guest()
      const func = echoType({ kind: "tuple", types: [type, own(resources[0] as ResourceType)] })
      const imported = bindImport(func, "utf8", "echo")(cx, ([v]) => v)
      const core = forward(func, imported, (align, bytes) => realloc(0, 0, align, bytes))
      const back = bindExport(func, "utf8", "echo").call(cx, core, undefined, [[value, 7]])
      handled++
      return sameValue(back, [value, 7]) && handles.live.size === 0
    }),
    { seed, numRuns: runs },
  )
  t.equal(handled >= runs, true)
  t.end()
})

function coreTyped(flat: ReadonlyArray<CoreTyped["type"]>, args: ReadonlyArray<CoreValue>): Array<CoreTyped> {
  return flat.map((type, i) => ({ type, value: args[i] as CoreValue }))
}

function stored(memory: Parameters<typeof store>[0] & { readonly encoding: StringEncoding }, value: unknown, type: ValueType): number {
  const at = memory.alloc(alignment(type), size(type))
  store(memory, value, type, at)
  return at
}
