/** `stele prices` as people and machines run it. */
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import t from "tap"
import { namedPriceList } from "../../../runtime/billing/price-list.ts"
import { placed } from "../../../runtime/cli/price-list.ts"
import { jsonError, stele } from "../command-line.ts"

const folder = await mkdtemp(join(tmpdir(), "stele-prices-"))
t.teardown(() => rm(folder, { recursive: true }))
const file = async (name: string, value: object | string): Promise<string> => {
  const path = join(folder, name)
  await writeFile(path, typeof value === "string" ? value : JSON.stringify(value, undefined, 2))
  return path
}
const executions = (await namedPriceList("executions-2025")) as string
const list = (price: object, more: object = {}) => ({
  name: "list",
  version: "1",
  currency: "EUR",
  units: { call: { exponent: 0 } },
  meters: [{ id: "calls", unit: "call", aggregation: "sum", event: "call" }],
  plans: [{ id: "basic", interval: { unit: "month", count: 1 }, align: "calendar", charges: [{ id: "calls", meter: "calls", price, ...more }] }],
})

t.test("`stele prices check` says what holds, and where it does not", async (t) => {
  const bad = await file(
    "bad.json",
    list({
      model: "graduated",
      tiers: [
        { upTo: "10", price: "1" },
        { from: "9", upTo: null, price: "-2" },
      ],
    }),
  )
  const both = stele(["prices", "check", "executions-2025", bad])
  t.equal(both.code, 3)
  t.match(both.stdout, /^pass executions-2025 executions-2025 1, USD: community, professional, enterprise$/m)
  t.match(both.stdout, new RegExp(`^FAIL ${bad} 2 problems$`, "m"))
  t.match(both.stdout, new RegExp(`${bad}:\\d+:\\d+ Quantities above 9 up to 10 belong to two tiers\n.*"from": "9",\n +\\^`))
  const json = JSON.parse(stele(["prices", "check", bad, "--json"]).stdout) as { readonly lists: ReadonlyArray<{ readonly problems: ReadonlyArray<object> }> }
  t.match(json, { holds: false, lists: [{ file: bad, holds: false }] })
  t.match(json.lists[0]?.problems, [
    { kind: "tiers-overlap", path: "/plans/0/charges/0/price/tiers/1/from" },
    { kind: "negative-price", path: "/plans/0/charges/0/price/tiers/1/price" },
  ])
  t.match(stele(["prices", "check", "units-2025"]), { code: 0, stderr: "" })
  const broken = stele(["prices", "check", "-"], { input: '{\n  "name": "a",\n  "name": "b"\n}' })
  t.match(broken, { code: 3, stdout: /standard input:3:3 The key "name" is there twice/ })
  t.match(stele(["prices", "check", "executions-2026", "--json"]), { code: 4 })
  t.match(jsonError(stele(["prices", "check", "executions-2026", "--json"])), { code: "STELE-BIL-0003" })
})

t.test("placed() finds what rules say in their list's text, and does without one that is no JSON", async (t) => {
  const said = { kind: "limit", path: "/a~1b/1", message: "too many" } as const
  t.match(placed({ file: "x.json", text: '{\n  "a/b": [1,\n  2]}' }, [said]), [{ ...said, file: "x.json", line: 3, column: 3 }])
  t.match(placed({ file: "x.yaml", text: "a: 1\nb: 2" }, [said]), [{ ...said, line: 1, column: 1, excerpt: "  a: 1\n  ^" }])
  t.match(placed({ file: "x.json", text: '{"a": }' }, [{ kind: "malformed", path: "", message: "it ends" }]), [{ kind: "malformed", line: 1, column: 7 }])
})

t.test("`stele prices diff` tells changes, and from which quantity on what is dearer", async (t) => {
  const next = await file("next.json", executions.replace('"price": "0.01"', '"price": "0.008"').replace('"100000"', '"90000"'))
  const { code, stdout } = stele(["prices", "diff", "executions-2025", next])
  t.equal(code, 0)
  t.match(stdout, /^~ plan "professional", charge "executions": price 0\.01 → 0\.008$/m)
  t.match(stdout.replace(/\s+/g, " "), /the same up to 90,000, dearer from 90,001 to 139,999, the same at 140,000, cheaper from 140,001 on/)
  const json = JSON.parse(stele(["prices", "diff", "executions-2025", next, "--json"]).stdout) as {
    readonly charges: ReadonlyArray<{ readonly charge: string }>
  }
  t.match(json, { changes: [{ path: "/plans/1/charges/1/price/price", what: "changed", before: "0.01", after: "0.008" }, {}] })
  t.match(
    json.charges.filter(({ charge }) => charge === "executions"),
    [
      { plan: "community", quantities: [{ from: "0", to: null, is: "same" }] },
      { plan: "professional", quantities: [{ from: "0", to: "90000", is: "same" }] },
    ],
  )
  t.equal(stele(["prices", "diff", "units-2025", "units-2025"]).stdout, "Nothing changed\n")
  const bad = await file("worse.json", list({ model: "unit", price: "x" }))
  t.match(stele(["prices", "diff", "units-2025", bad]), { code: 3, stderr: /worse\.json:\d+:\d+/ })
})
