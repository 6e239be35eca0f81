import t from "tap"
import { answer, engines } from "./engine.ts"
import { tiers } from "./meter-harness.ts"
import { observe, observeRewritten, randomModule } from "./meter-random.ts"
import { isFull, replay, seed } from "../seed.ts"

t.setTimeout(1_200_000)

const count = isFull ? 10_000 : 150

const plainly = (module: ReturnType<typeof randomModule>) =>
  observe(() => new WebAssembly.Instance(new WebAssembly.Module(module.bytes), module.imports()).exports)

t.test("`rewriteCoreModule()` changes nothing that can be seen when random modules of every instruction run in each tier", async (t) => {
  t.comment(`${replay}: ${count} modules`)
  const kinds = new Map<string, number>()
  let spent = 0
  for (let i = seed; i < seed + count; i++) {
    const masked = randomModule(i, true)
    const wanted = plainly(masked)
    for (const kind of wanted.kinds) kinds.set(kind, (kinds.get(kind) ?? 0) + 1)
    // Under fuel, a module that looks at NaNs does what its twin does that makes them canonical itself.
    const runs = [
      ...tiers.map((tier) => [tier, observeRewritten(masked, tier)] as const),
      ["fuel, bare", observeRewritten(randomModule(i, false), "fuel")] as const,
    ]
    for (const [what, got] of runs) {
      if (got.isStackSpent) spent++
      else if (got.text.join() !== wanted.text.join()) t.same(got.text, wanted.text, `seed ${i} in ${what}`)
    }
  }
  t.comment(JSON.stringify([...kinds]))
  t.ok((kinds.get("value") ?? 0) > count, "values")
  t.ok(kinds.size >= 6, "many kinds of traps")
  t.ok(spent < count / 10, "few recursions are cut short")
})

t.test("`observeRewritten()` notices visible NaN bits when canonicalisation is left out", async (t) => {
  let different = 0
  for (let i = seed; i < seed + 100; i++)
    if (observeRewritten(randomModule(i, false), "fuel", { test: { omit: "nan" } }).text.join() !== plainly(randomModule(i, true)).text.join()) different++
  t.ok(different > 2, `${different} of 100`)
})

t.test("`fuel` ends random modules at one instruction when it is handed out in any slices", async (t) => {
  let stopped = 0
  for (let i = seed; i < seed + count / 3; i++) {
    const module = randomModule(i, false)
    const whole = observeRewritten(module, "fuel")
    if (whole.fuel <= 0n) continue
    const fuel = whole.fuel / 2n
    const once = observeRewritten(module, "fuel", { fuel })
    if (once.fuel > fuel) stopped++
    for (const slice of [1n, 29n, 999n]) {
      const sliced = observeRewritten(module, "fuel", { fuel, slice })
      if (sliced.text.join() !== once.text.join() || sliced.fuel !== once.fuel) t.same(sliced, once, `seed ${i}, slices of ${slice}`)
    }
  }
  t.ok(stopped > count / 12, `${stopped} were stopped`)
})

t.test("random modules do the same for the same fuel when the engine differs", async (t) => {
  const reports = await Promise.all(
    engines.map((engine) => answer<ReadonlyArray<string>>(engine, "meter-random-program.ts", [String(seed), String(count)], { msMax: 600_000 })),
  )
  const [node, ...others] = reports as [ReadonlyArray<string>, ...ReadonlyArray<ReadonlyArray<string>>]
  t.ok(new Set(node).size > count / 2)
  for (const [index, other] of others.entries()) {
    const different = node.flatMap((line, i) => (line === other[i] ? [] : [`seed ${seed + i}: ${line} on node, ${other[i]} on ${engines[index + 1]}`]))
    t.same(different, [], `on ${engines[index + 1]}`)
  }
})
