/**
 * First-party plugins as rims load them (ADR 0047): ours, or the component that configuration puts in its place, which is held to the same
 * world, limits and grants.
 *
 * ```ts
 * import type { Exports } from "../../schemas/wit/stele/billing.gen.ts"
 * const core = await firstParty<Exports>(host, "billing", { instances: { reuse: "principal" } })
 * const catalogue = await core.call("stele:billing/charging#[static]catalogue.compile", [text])
 * ```
 */
import type { Host } from "../../host/host.ts"
import type { Limits, LoadOptions } from "../../host/options.ts"
import type { Plugin } from "../../host/plugin.ts"
import { SteleError } from "../../schemas/error/family.ts"
import { PluginError } from "../../schemas/error/plugin.ts"
import { ReplacementError } from "../../schemas/error/replacement.ts"
import type { UntypedExports } from "../../schemas/wit/exports.ts"
import { parseWit, selectWorld } from "../../schemas/wit/parse/mod.ts"
import { departures } from "./contract.ts"
import { type Replacement, type Replacements, replacementsOf } from "./replaced.ts"
import { pluginsFolder, type Shipped, shippedPlugins } from "./shipped.ts"

const { readFile } = process.getBuiltinModule("node:fs/promises")
const { join } = process.getBuiltinModule("node:path")

/** How a rim runs its core. What the core may do is its manifest's to say, and never a rim's. */
export interface CoreOptions extends Pick<LoadOptions, "instances" | "isolation" | "tenant" | "prepare"> {
  /** A component for this rim alone, in the place of what is in force for the host. Its limits are the plugin's, but for those given. */
  readonly replacement?: Replacement & { readonly limits?: Partial<Limits> }
}

/** Shown of one kind of departure: a component may have thousands of imports. */
const departuresMax = 20

/** The options by which a core is loaded, ours or another. */
const loadOptionsOf = ({ grants, limits, metering }: Shipped, { replacement, ...options }: CoreOptions): LoadOptions => ({
  ...options,
  grants,
  limits: { ...limits, ...replacement?.limits },
  metering,
})

/**
 * Loads what is in force for a first-party plugin.
 * @param folder where first-party plugins lie; default: those that came with this program
 * @throws PluginError `NotFound` where this program has none of that name; ReplacementError `Contract`, `Load` for a component that cannot stand in its place
 */
export async function firstParty<E extends object = UntypedExports>(
  host: Host,
  name: string,
  options: CoreOptions = {},
  folder = pluginsFolder(),
): Promise<Plugin<E>> {
  const shipped = (await shippedPlugins(folder)).get(name)
  if (shipped === undefined) throw new PluginError("NotFound", { source: `${name}.wasm` })
  const load = loadOptionsOf(shipped, options)
  const replacement = options.replacement ?? replacementsOf(host).get(name)
  if (replacement === undefined) return host.load<E>(join(folder, `${name}.wasm`), { ...load, digest: shipped.digest })
  try {
    const digest = await checked(host, replacement, shipped, folder)
    return await host.load<E>(replacement.source, { ...load, digest })
  } catch (error) {
    if (!(error instanceof SteleError) || error instanceof ReplacementError) throw error
    throw new ReplacementError("Load", { plugin: name, setBy: replacement.setBy, loadCode: error.code, detail: error.message }, { cause: error })
  }
}

/** The digest of a component that keeps the contract. Nothing of it runs. */
async function checked(host: Host, { setBy, source }: Replacement, { limits, metering, name, world }: Shipped, folder: string): Promise<string> {
  const contract = selectWorld(parseWit(await readFile(join(folder, `${name}.wit`), "utf8")), world).world
  // Linked to denials, so that an import too many is told with everything else that departs.
  await using plugin = await host.load(source, { limits, metering, missing: "trap" })
  const found = departures(plugin.describe().world, contract)
  if (Object.values(found).every((part) => part.length === 0)) return plugin.digest
  const [missing, different, imported] = [found.missing, found.different, found.imported].map(shortened) as [string[], string[], string[]]
  throw new ReplacementError("Contract", { plugin: name, setBy, world, missing, different, imported })
}

const shortened = (parts: ReadonlyArray<string>): ReadonlyArray<string> =>
  parts.length <= departuresMax ? parts : [...parts.slice(0, departuresMax), `${parts.length - departuresMax} more`]

/** Refuses a configuration that names what cannot be replaced. @throws ReplacementError `Unknown` */
export async function checkReplacements(replacements: Replacements, folder?: string): Promise<void> {
  if (replacements.size === 0) return
  const known = [...(await shippedPlugins(folder)).keys()]
  for (const [plugin, { setBy }] of replacements) if (!known.includes(plugin)) throw new ReplacementError("Unknown", { plugin, setBy, known })
}

/** What is in force for one plugin. */
export interface InForce {
  readonly name: string
  readonly world: string
  /** `sha256:…`; undefined where it cannot be loaded. */
  readonly digest: string | undefined
  /** Undefined: ours. */
  readonly replacement: Replacement | undefined
  readonly refusal: SteleError | undefined
}

/** Loads each first-party plugin as its rim would, and says what it is. */
export async function inForce(host: Host, folder = pluginsFolder()): Promise<ReadonlyArray<InForce>> {
  const found: Array<InForce> = []
  for (const { name, world } of (await shippedPlugins(folder)).values()) {
    const replacement = replacementsOf(host).get(name)
    try {
      await using plugin = await firstParty(host, name, {}, folder)
      found.push({ name, world, digest: plugin.digest, replacement, refusal: undefined })
    } catch (error) {
      if (!(error instanceof SteleError)) throw error
      found.push({ name, world, digest: undefined, replacement, refusal: error })
    }
  }
  return found
}
