/** The price lists that came with this program, by their names. */
import type { Catalogue } from "../../schemas/billing/catalogue.ts"

const lists: Readonly<Record<string, () => Promise<{ readonly default: unknown }>>> = {
  "executions-2025": () => import("../../schemas/billing/executions-2025.json", { with: { type: "json" } }),
  "units-2025": () => import("../../schemas/billing/units-2025.json", { with: { type: "json" } }),
}

export const namedPriceLists: ReadonlyArray<string> = Object.keys(lists)

/** The text of a named price list, byte for byte as its file has it; undefined where there is none of this name. */
export async function namedPriceList(name: string): Promise<string | undefined> {
  const list = Object.hasOwn(lists, name) ? await lists[name]?.() : undefined
  return list === undefined ? undefined : `${JSON.stringify(list.default as Catalogue, undefined, 2)}\n`
}
