/** The first-party plugins that came with this program. */
import type { Limits } from "../../host/options.ts"
import { shippedFolder } from "../shipped.ts"

const { readFile } = process.getBuiltinModule("node:fs/promises")
const { join } = process.getBuiltinModule("node:path")

/** A line of `dist/plugins/index.json`, which the build writes. */
export interface Shipped {
  readonly name: string
  readonly version: string
  readonly description: string
  /** Full name of the world: `stele:billing/rules@0.1.0`. */
  readonly world: string
  /** What it is granted, and with it whatever replaces it. */
  readonly grants: ReadonlyArray<string>
  readonly limits: Partial<Limits>
  readonly metering: "deadline" | "fuel" | "yield" | "off"
  /** `sha256:…` of the component. */
  readonly digest: string
}

/** Where components, WIT and index lie. */
export const pluginsFolder = (): string => shippedFolder("plugins")

export async function shippedPlugins(folder = pluginsFolder()): Promise<ReadonlyMap<string, Shipped>> {
  const { plugins } = JSON.parse(await readFile(join(folder, "index.json"), "utf8")) as { readonly plugins: ReadonlyArray<Shipped> }
  return new Map(plugins.map((one) => [one.name, one]))
}
