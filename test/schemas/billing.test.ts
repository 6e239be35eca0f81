/** Price lists: the named ones have the shape that editors are told, and what has another is refused with its place. */
import { readFile } from "node:fs/promises"
import { fileURLToPath } from "node:url"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import t from "tap"
import { Catalogue, catalogueSchemaText } from "../../schemas/billing/catalogue.ts"

const read = async (name: string): Promise<unknown> =>
  JSON.parse(await readFile(fileURLToPath(new URL(`../../schemas/billing/${name}.json`, import.meta.url)), "utf8"))
const decode = Schema.decodeUnknownExit(Catalogue, { onExcessProperty: "error", errors: "all" })

t.test("the named catalogues have the shape", async (t) => {
  for (const name of ["executions-2025", "units-2025"]) {
    const exit = decode(await read(name))
    t.ok(Exit.isSuccess(exit), `${name}: ${String(exit)}`)
    if (Exit.isSuccess(exit)) t.equal(exit.value.name, name)
  }
})

t.test("what they sell is what was asked for", async (t) => {
  const { plans } = (await read("executions-2025")) as Catalogue
  t.strictSame(
    plans.map(({ charges: [base] }) => base?.price),
    [
      { model: "flat", amount: "0" },
      { model: "flat", amount: "99" },
      { model: "flat", amount: "999" },
    ],
  )
  const [community, professional, enterprise] = plans.map(({ charges }) => new Map(charges.map((charge) => [charge.id, charge])))
  t.strictSame(community?.get("compute")?.overage, { upTo: "10", policy: "block" }, "nothing is sold beyond what is included")
  t.match(professional?.get("compute"), { price: { price: "0.05" }, modifiers: [{ quantity: "500" }] })
  t.strictSame(enterprise?.get("transfer")?.price, { model: "unset" }, "a price to be agreed upon")
})

t.test("another shape is refused", async (t) => {
  const catalogue = (await read("units-2025")) as Record<string, unknown>
  for (const [what, change] of [
    ["an unknown field", { discount: "5" }],
    ["a price as a number", { plans: [{ id: "a", interval: { unit: "month", count: 1 }, charges: [{ id: "b", price: { model: "flat", amount: 5 } }] }] }],
    ["an unknown model", { plans: [{ id: "a", interval: { unit: "month", count: 1 }, charges: [{ id: "b", price: { model: "free" } }] }] }],
    ["a unit of 13 digits", { units: { unit: { exponent: 13 } } }],
    ["an unknown policy", { policies: { "rounding.moood": "up" } }],
  ] as const)
    t.ok(Exit.isFailure(decode({ ...catalogue, ...change })), what)
})

t.test("editors get it as a JSON Schema", async (t) => {
  const schema = JSON.parse(catalogueSchemaText()) as { readonly $schema: string; readonly $defs: Readonly<Record<string, unknown>> }
  t.equal(schema.$schema, "https://json-schema.org/draft/2020-12/schema")
  t.ok("Decimal" in schema.$defs && "Tier" in schema.$defs)
})
