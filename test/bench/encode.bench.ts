/** Components from core modules: our encoder beside wit-component as compiled into jco, on the greeter and on a world of all of WASI 0.2. */
import { readFile } from "node:fs/promises"
import { componentEmbed, componentNew } from "@bytecodealliance/jco-transpile/wasm-tools"
import { decodeComponent } from "../../host/component/decode.ts"
import { elaborate } from "../../host/component/elaborate.ts"
import { defaultLimits } from "../../host/mod.ts"
import { encodeComponent } from "../../schemas/encode/mod.ts"
import { parseWit, selectWorld } from "../../schemas/wit/parse/mod.ts"
import { dummyCore } from "../schemas/dummy-core.ts"
import { wasiWit } from "../schemas/wasi-wit.ts"
import { compareAsync, type Row } from "./measure.ts"

type Encoding = "utf8" | "utf16"

async function row(figure: string, wit: string, world: string, core: Uint8Array, encoding: Encoding, rounds: number): Promise<Row> {
  const parsed = selectWorld(parseWit(wit), world).world
  const sizes = { ours: 0, theirs: 0 }
  const samples = await compareAsync(
    {
      ours: async () => (sizes.ours = encodeComponent(parsed, core, { encoding }).length),
      "ours with parsing": async () => encodeComponent(selectWorld(parseWit(wit), world).world, core, { encoding }),
      "wit-component": async () =>
        (sizes.theirs = (await componentNew(await componentEmbed({ binary: core, witSource: wit, world, stringEncoding: encoding }))).length),
    },
    { rounds },
  )
  const { ours, "wit-component": theirs, "ours with parsing": whole } = samples as Record<string, { readonly median: number; readonly p99: number }>
  if (ours === undefined || theirs === undefined || whole === undefined) throw new Error("Nothing was measured")
  return {
    figure,
    unit: "µs",
    ours: ours.median,
    peers: { "ours with parsing": whole.median, "wit-component with parsing": theirs.median },
    ratios: { bytes: sizes.ours / sizes.theirs },
    target: "≤ 1× wit-component's bytes",
    met: sizes.ours <= sizes.theirs,
    p99: { ours: ours.p99 },
    note: `core module ${core.length} bytes, component ${sizes.ours}, by wit-component ${sizes.theirs}`,
  }
}

export async function bench(): Promise<ReadonlyArray<Row>> {
  const folder = new URL("../../plugins/examples/greeter/build/", import.meta.url)
  const wit = await readFile(new URL("greeter.wit", folder), "utf8")
  const built = new Uint8Array(await readFile(new URL("greeter.wasm", folder)))
  const core = elaborate(decodeComponent(built, defaultLimits), defaultLimits).coreModules[0]?.bytes as Uint8Array
  const all = await wasiWit()
  return [
    await row("greeter encoded", wit, "greeter", core, "utf16", 60),
    await row("all of WASI 0.2 as imports, encoded", all, "all", dummyCore(selectWorld(parseWit(all), "all").world), "utf8", 10),
  ]
}
