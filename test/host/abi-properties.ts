/** Properties of the canonical ABI as plain functions, for `abi-property.test.ts` on Node and `abi-program.ts` on every engine. */
import fc from "../property.ts"
import { alignOf, bindExport, bindImport, type CoreFunction, type CoreValue, flattenExport, flattenImport, sizeOf } from "../../host/abi/mod.ts"
import { type FunctionType, own, type ResourceType, resource, type ValueType } from "../../schemas/wit/model.ts"
import { arbitraryType, arbitraryValue, Coverage, sameValue } from "../schemas/arbitrary-type.ts"
import { encodings, guest, thrown } from "./abi-guest.ts"
import { alignment, type CoreTyped, flatten, liftFlat, load, lowerFlat, type ReferenceMemory, size, store } from "./abi-reference.ts"

export interface Property {
  readonly title: string
  /** Throws with the counterexample and how to replay it; may answer a line to print. */
  readonly check: (seed: number, runs: number) => string | undefined
}

const property = (title: string, check: (parameters: { readonly seed: number; readonly numRuns: number }) => string | undefined): Property => ({
  title,
  check: (seed, numRuns) => check({ seed, numRuns }),
})

const typeOptions = { levels: 3 }
const typedValue = arbitraryType(typeOptions).chain((type) =>
  fc.record({ type: fc.constant(type), value: arbitraryValue(type, { listMax: 300 }), encoding: fc.constantFrom(...encodings) }),
)

/** A function of one parameter and a result, both of `type`; `extra` parameters push it over the flat limit. */
const echoType = (type: ValueType, extra = 0): FunctionType => ({
  kind: "function",
  params: [{ label: "v", type }, ...Array.from({ length: extra }, (_, i) => ({ label: `x${i}`, type: { kind: "u8" } as const }))],
  result: type,
})

/** Guest code that calls an import of the same type with the arguments it got, giving it a result area. */
function forward(type: FunctionType, imported: CoreFunction, alloc: (align: number, bytes: number) => number): CoreFunction {
  const result = type.result as ValueType
  return (...args) => {
    if (flattenImport(type).results.length === 1) return imported(...args)
    const at = alloc(alignOf(result), sizeOf(result))
    imported(...args, at)
    return at
  }
}

const coreTyped = (flat: ReadonlyArray<CoreTyped["type"]>, args: ReadonlyArray<CoreValue>): Array<CoreTyped> =>
  flat.map((type, i) => ({ type, value: args[i] as CoreValue }))

function stored(memory: ReferenceMemory, value: unknown, type: ValueType): number {
  const at = memory.alloc(alignment(type), size(type))
  store(memory, value, type, at)
  return at
}

export const properties: ReadonlyArray<Property> = [
  property("`sizeOf()`, `alignOf()` and `flattenExport()` agree with the reference for any type, and every constructor and join was met", (parameters) => {
    const coverage = new Coverage()
    fc.assert(
      fc.property(arbitraryType(typeOptions), (type) => {
        coverage.type(type)
        const flat = flatten(type)
        const func: FunctionType = { kind: "function", params: [{ label: "v", type }], result: type }
        const params = flat.length > 16 ? ["i32"] : flat
        return (
          sizeOf(type) === size(type) &&
          alignOf(type) === alignment(type) &&
          String(flattenExport(func).params) === String(params) &&
          String(flattenExport(func).results) === String(flat.length > 1 ? ["i32"] : flat) &&
          String(flattenImport(func).params) === String(flat.length > 1 ? [...params, "i32"] : params) &&
          String(flattenImport(func).results) === String(flat.length > 1 ? [] : flat)
        )
      }),
      { ...parameters, numRuns: Math.max(parameters.numRuns, 1_500) },
    )
    if (coverage.missing().length > 0) throw new Error(`never met: ${coverage.missing().join(", ")}`)
    return coverage.report()
  }),

  property("`bindExport()` and `bindImport()` return what they were given, flat and through memory", (parameters) => {
    fc.assert(
      fc.property(typedValue, fc.constantFrom(0, 15), ({ type, value, encoding }, extra) => {
        const { cx, realloc, budget } = guest()
        const func = echoType(type, extra)
        const imported = bindImport(func, encoding, "echo")(cx, ([v]) => v)
        const core = forward(func, imported, (align, bytes) => realloc(0, 0, align, bytes))
        const back = bindExport(func, encoding, "echo").call(cx, core, undefined, [value, ...Array.from({ length: extra }, (_, i) => i)])
        return sameValue(back, value) && budget.bytesIn >= size(type) && budget.bytesOut >= size(type)
      }),
      parameters,
    )
    return undefined
  }),

  property("`bindExport()` lowers what the reference lifts, and lifts what the reference lowers", (parameters) => {
    fc.assert(
      fc.property(typedValue, ({ type, value, encoding }) => {
        const { cx, reference } = guest()
        const memory = reference(encoding)
        const flat = flatten(type)
        let isLowered = false
        const core: CoreFunction = (...args) => {
          const lifted = flat.length > 16 ? load(memory, Number(args[0]) >>> 0, type) : liftFlat(memory, coreTyped(flat, args), type)
          isLowered = sameValue(lifted, value)
          return flat.length <= 1 ? lowerFlat(memory, value, type)[0]?.value : stored(memory, value, type)
        }
        return sameValue(bindExport(echoType(type), encoding, "echo").call(cx, core, undefined, [value]), value) && isLowered
      }),
      parameters,
    )
    return undefined
  }),

  property("`bindImport()` lifts what the reference lowers, and lowers what the reference lifts", (parameters) => {
    fc.assert(
      fc.property(typedValue, ({ type, value, encoding }) => {
        const { cx, realloc, reference } = guest()
        const memory = reference(encoding)
        const flat = flatten(type)
        let seen: unknown
        const imported = bindImport(
          echoType(type),
          encoding,
          "echo",
        )(cx, ([v]) => {
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
      parameters,
    )
    return undefined
  }),

  property("strings with lone surrogates arrive with U+FFFD in every encoding, alone and in lists", (parameters) => {
    const unit = fc.integer({ min: 0, max: 0xffff }).map((code) => String.fromCharCode(code))
    const surrogate = fc.integer({ min: 0xd800, max: 0xdfff }).map((code) => String.fromCharCode(code))
    const string = fc.oneof(fc.string({ unit: fc.oneof(unit, surrogate, fc.constant("a")), maxLength: 60 }), fc.string({ unit: "binary" }))
    const type = echoType({ kind: "tuple", types: [{ kind: "string" }, { kind: "list", element: { kind: "string" } }] })
    fc.assert(
      fc.property(string, fc.constantFrom(...encodings), (value, encoding) => {
        const { cx, realloc } = guest()
        const imported = bindImport(type, encoding, "echo")(cx, ([v]) => v)
        const core = forward(type, imported, (align, bytes) => realloc(0, 0, align, bytes))
        return sameValue(bindExport(type, encoding, "echo").call(cx, core, undefined, [[value, [value, ""]]]), [
          value.toWellFormed(),
          [value.toWellFormed(), ""],
        ])
      }),
      { ...parameters, numRuns: parameters.numRuns * 4 },
    )
    return undefined
  }),

  property("any bytes lift as the text a fatal UTF-8 decoder reads, or trap where it refuses", (parameters) => {
    const byte = fc.oneof(
      fc.integer({ min: 0x61, max: 0x7a }),
      fc.integer({ min: 0, max: 255 }),
      fc.constantFrom(0xef, 0xbf, 0xbd, 0xbb, 0xe2, 0x82, 0xac, 0xf0, 0x9f),
    )
    const valid = fc.string({ unit: "binary" }).map((text) => [...new TextEncoder().encode(text)])
    const bytes = fc.oneof(
      fc.array(byte, { maxLength: 70 }),
      valid,
      fc.tuple(valid, fc.array(byte, { maxLength: 3 })).map((parts) => parts.flat()),
    )
    const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
    let refused = 0
    fc.assert(
      fc.property(bytes, (text) => {
        const { cx, put } = guest()
        let seen: unknown
        const error = thrown(() =>
          bindImport(
            { kind: "function", params: [{ label: "s", type: { kind: "string" } }] },
            "utf8",
            "f",
          )(cx, ([s]) => {
            seen = s
          })(put(1, text), text.length),
        )
        let expected: string | undefined
        try {
          expected = decoder.decode(Uint8Array.from(text))
        } catch {
          refused++
        }
        return expected === undefined ? (error as Error).name === "AbiTrap" && seen === undefined : error === undefined && seen === expected
      }),
      { ...parameters, numRuns: parameters.numRuns * 4 },
    )
    if (refused === 0 || refused >= parameters.numRuns * 4) throw new Error(`refused ${refused}: the generator covers one side only`)
    return `${refused} of ${parameters.numRuns * 4} were not UTF-8`
  }),

  property("values with owned handles keep their reps, and leave no handle behind", (parameters) => {
    const file = resource("file")
    const resources: ReadonlyArray<ResourceType> = [file, resource("socket")]
    const values = arbitraryType({ ...typeOptions, resources, borrows: false }).chain((type) =>
      fc.record({ type: fc.constant(type), value: arbitraryValue(type, { listMax: 30, handle: () => fc.integer({ min: 0, max: 2 ** 31 }) }) }),
    )
    fc.assert(
      fc.property(values, ({ type, value }) => {
        const { cx, realloc, handles } = guest()
        const func = echoType({ kind: "tuple", types: [type, own(file)] })
        const imported = bindImport(func, "utf8", "echo")(cx, ([v]) => v)
        const core = forward(func, imported, (align, bytes) => realloc(0, 0, align, bytes))
        return sameValue(bindExport(func, "utf8", "echo").call(cx, core, undefined, [[value, 7]]), [value, 7]) && handles.live.size === 0
      }),
      parameters,
    )
    return undefined
  }),

  property("memory full of random bytes lifts to a value or a typed error, never anything else", (parameters) => {
    const outcomes = { value: 0, trap: 0, limit: 0 }
    fc.assert(
      fc.property(
        arbitraryType(typeOptions),
        fc.infiniteStream(fc.integer({ min: 0, max: 2 ** 32 - 1 })),
        fc.constantFrom(...encodings),
        (type, noise, encoding) => {
          const { cx, memory, put } = guest({ limits: { lift: 1 << 20, output: 1 << 18 } })
          const words = new Uint32Array(memory.buffer)
          // Small numbers are more often good pointers, lengths and discriminants.
          for (let i = 0; i < 512; i++) words[i] = (noise.next().value as number) >>> (i % 3 === 0 ? 0 : 18 + (i % 12))
          const at = put(8, [])
          const func: FunctionType = { kind: "function", params: [], result: { kind: "tuple", types: [type, { kind: "u8" }, { kind: "u8" }] } }
          const error = thrown(() => bindExport(func, encoding, "f").call(cx, () => at, undefined, []))
          if (error === undefined) outcomes.value++
          else if ((error as Error).name === "AbiTrap") outcomes.trap++
          else if ((error as Error).name === "LimitError") outcomes.limit++
          else throw error
        },
      ),
      { ...parameters, numRuns: parameters.numRuns * 4 },
    )
    if (outcomes.value === 0 || outcomes.trap === 0) throw new Error(`one-sided: ${JSON.stringify(outcomes)}`)
    return JSON.stringify(outcomes)
  }),
]
