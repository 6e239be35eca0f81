/** Modules of real toolchains: what the engine accepts before rewriting, it accepts after, under every tier. */
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import t from "tap"
import { decodeCoreModule } from "../../schemas/wasm/core-module.ts"
import { rewriteSteps } from "../../host/meter/rewrite.ts"
import { injectedModule, tiers } from "./meter-harness.ts"

t.setTimeout(600_000)

/** Rust and C by LLVM, Binaryen's output, and wit-component's shims; StarlingMonkey uses what C++ brings. */
const folders = ["jco-transpile/vendor", "jco/lib", "componentize-js/lib"]
const bytesMax = Number(process.env["STELE_REAL_BYTES_MAX"] ?? 6_000_000)
const limits = { memoryPagesMax: 65_536, tableElementsMax: 10_000_000, functionBodyBytesMax: 4 << 20 }

let seen = 0
for (const folder of folders) {
  const path = fileURLToPath(new URL(`../node_modules/@bytecodealliance/${folder}/`, import.meta.url))
  if (!existsSync(path)) continue
  for (const file of readdirSync(path).filter((name) => name.endsWith(".wasm"))) {
    const bytes = new Uint8Array(readFileSync(path + file))
    if (bytes.length > bytesMax || bytes[4] !== 1 || bytes[6] !== 0) continue
    seen++
    t.test(`\`rewriteSteps()\` writes a valid module when ${file} is rewritten under each tier`, async (t) => {
      for (const tier of tiers) {
        const from = performance.now()
        const steps = rewriteSteps(bytes, decodeCoreModule(bytes, limits), { tier, injectedModule, ...limits })
        let stepMsMax = 0
        let stepFrom = from
        let step = steps.next()
        for (; step.done !== true; step = steps.next()) {
          const now = performance.now()
          stepMsMax = Math.max(stepMsMax, now - stepFrom)
          stepFrom = now
        }
        const ms = performance.now() - from
        t.ok(WebAssembly.validate(step.value.bytes), tier)
        t.comment(
          `${tier}: ${(bytes.length / 1e6).toFixed(2)} MB, ${(ms / (bytes.length / 1e6)).toFixed(0)} ms/MB, longest step ${stepMsMax.toFixed(1)} ms, ${(step.value.bytes.length / bytes.length).toFixed(2)}× the size`,
        )
      }
    })
  }
}
t.ok(seen >= 4, `${seen} modules`)
