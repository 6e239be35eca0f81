/** `--link NAME=FILE`: plugins that serve imports of the one a command loads, each with grants of its own (docs/adr/0045-composition.md). */
import type { LoadOptions } from "../../host/options.ts"
import type { Plugin } from "../../host/plugin.ts"
import { ConfigError } from "../../schemas/error/config.ts"
import { closest } from "../../schemas/value/closest.ts"
import { quote } from "../../schemas/value/form.ts"
import type { Host } from "../mod.ts"
import { nameOf } from "./call.ts"
import { parsePair } from "./ports.ts"
import { at } from "./report.ts"

export interface LinkFlags {
  readonly link: ReadonlyArray<string>
  readonly linkGrant: ReadonlyArray<string>
}

/** A file that serves interfaces, with what it may do. */
interface Served {
  readonly names: Array<string>
  readonly grants: Array<string>
}

/** The flags by file: one that serves several interfaces is one plugin. */
export function parseLinks({ link, linkGrant }: LinkFlags): ReadonlyMap<string, Served> {
  const files = new Map<string, Served>()
  const servers = new Map<string, Served>()
  for (const text of link) {
    const [name, file] = parsePair("--link", text, "INTERFACE=FILE such as acme:prices/api=prices.wasm")
    if (servers.has(name)) throw new ConfigError("Usage", { detail: `Cannot link ${quote(name)} to two plugins`, advice: "leave out one of the two" })
    const served = files.get(file) ?? { names: [], grants: [] }
    served.names.push(name)
    servers.set(name, served)
    files.set(file, served)
  }
  for (const text of linkGrant) {
    const [name, grant] = parsePair("--link-grant", text, "INTERFACE=GRANT such as acme:prices/api=log")
    const served = servers.get(name)
    if (served === undefined) {
      const [near] = closest(name, [...servers.keys()])
      const advice = near === undefined ? `link it: --link ${name}=FILE` : `did you mean "${near}"`
      throw new ConfigError("Usage", { detail: `Cannot grant anything to ${quote(name)}: no --link names it`, advice })
    }
    served.grants.push(grant)
  }
  return files
}

/**
 * Loads what is linked, as the plugin itself is loaded but for the grants. `names` are what log lines call them by, by digest.
 * @returns options of the plugin's own load
 */
export async function loadLinks(
  host: Host,
  flags: LinkFlags,
  { limits, metering, tenant }: LoadOptions,
  names: Map<string, string>,
): Promise<Pick<LoadOptions, "links">> {
  const links: Record<string, Plugin> = {}
  for (const [file, { grants, names: interfaces }] of parseLinks(flags)) {
    const options = {
      grants,
      ...(limits === undefined ? {} : { limits }),
      ...(metering === undefined ? {} : { metering }),
      ...(tenant === undefined ? {} : { tenant }),
    }
    const plugin: Plugin = await at({ file, grantFlag: `--link-grant ${interfaces[0]}=` }, () => host.load(file, options))
    names.set(plugin.digest, nameOf(file))
    for (const name of interfaces) links[name] = plugin
  }
  return flags.link.length === 0 ? {} : { links }
}
