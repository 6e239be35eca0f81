/** WIT text of the printer, read by wasm-tools' own parser (as jco ships it). */
import fc from "../property.ts"
import t from "tap"
import { resource } from "../../schemas/wit/model.ts"
import { arbitraryFunction, Coverage, witPackage } from "./arbitrary-type.ts"
import { Panic, wasmTools } from "./wasm-tools.ts"
import { replay, runsOf } from "../seed.ts"

const runs = runsOf(100)
t.comment(`${replay} STELE_TEST_RUNS=${runs}: ${runs} packages`)

t.test("interfaceText() is WIT that wasm-tools parses, encodes and validates", async (t) => {
  const coverage = new Coverage({ functions: true, handles: true, flagsMax: 32 })
  // wasm-tools validates at most 32 flags, as the specification has it (Binary.md `flags`); its WIT parser takes more.
  const functions = fc.array(arbitraryFunction({ resources: [resource("file")], flagsMax: 32 }), { minLength: 1, maxLength: 3 })
  let [bytes, panics] = [0, 0]
  for (const funcs of fc.sample(functions, { numRuns: runs })) {
    for (const func of funcs) coverage.func(func)
    const { text } = witPackage(new Map(funcs.map((func, i) => [`f${i}`, func])))
    try {
      bytes += await wasmTools(({ componentEmbed, componentNew }) => componentNew(componentEmbed({ dummy: true, witSource: text, world: "both" })).length)
    } catch (error) {
      // That is no answer.
      if (error instanceof Panic) panics++
      else throw new Error(`Cannot read as WIT: ${text}`, { cause: error })
    }
  }
  t.ok(bytes > runs * 100, `${bytes} bytes of components`)
  t.ok(panics <= 2 + runs / 100, `wasm-tools panicked at ${panics} of ${runs} packages`)
  if (runs >= 100) t.strictSame(coverage.missing(), [])
})
