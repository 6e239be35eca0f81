/** Which first-party plugins of a host are replaced: what `Host.open({ plugins })` was given. Loads nothing, since every host has it. */
import type { Source } from "../../host/host.ts"

/** A component in the place of a first-party plugin. */
export interface Replacement {
  readonly source: Source
  /** What said so, for errors and reports: `Host.open({ plugins })`, `STELE_PLUGIN_BILLING`, `stele.json`. */
  readonly setBy: string
}
export type Replacements = ReadonlyMap<string, Replacement>

const none: Replacements = new Map()
const byHost = new WeakMap<object, Replacements>()

export const replacementsOf = (host: object): Replacements => byHost.get(host) ?? none
export const setReplacements = (host: object, replacements: Replacements): void => void byHost.set(host, replacements)
