/** Which component is in force for each first-party plugin, and whether it can be loaded. */
import { AuthorError } from "../../schemas/error/author.ts"
import { SteleError } from "../../schemas/error/family.ts"
import { PluginError } from "../../schemas/error/plugin.ts"
import { Host } from "../mod.ts"
import { configuredPlugins } from "../plugins/configuration.ts"
import { type InForce, inForce } from "../plugins/first-party.ts"
import type { Replacement } from "../plugins/replaced.ts"
import { type Diagnosis, fail, ok, warn } from "./diagnosis.ts"

const short = (digest: string): string => digest.slice(0, "sha256:".length + 12)

/** A component that was given as bytes, or put together, has no place. */
const placeOf = (source: Replacement["source"]): string => (typeof source === "string" ? source : source instanceof URL ? source.href : "a component")

/** One plugin's line. */
export function diagnosisOf({ digest, name, refusal, replacement, world }: InForce): Diagnosis {
  const about = `plugin ${name}`
  if (refusal !== undefined || digest === undefined) return fail(about, refusal?.message ?? "it cannot be loaded", refusal?.fix ?? "install stele again")
  const what = `${short(digest)}, ${world}`
  return ok(about, replacement === undefined ? `ours: ${what}` : `${placeOf(replacement.source)} in the place of ours, as ${replacement.setBy} says: ${what}`)
}

function refused(error: SteleError): Diagnosis {
  if (error instanceof PluginError && error.reason._tag === "NotFound")
    return warn("plugins", "the first-party plugins are not beside this program", "install stele again; in a checkout: node runtime/build/plugins.ts")
  const [first] = error instanceof AuthorError && error.reason._tag === "File" ? error.reason.problems : []
  if (first === undefined) return fail("plugins", error.message, error.fix)
  return fail("plugins", `${first.file}:${first.line}:${first.column} ${first.message}`, first.fix ?? error.fix)
}

/** @param flags `--plugin NAME=FILE`, as they were given */
export async function diagnosePlugins(flags: ReadonlyArray<string>): Promise<ReadonlyArray<Diagnosis>> {
  try {
    await using host = await Host.open({ plugins: await configuredPlugins(flags), upkeep: false })
    return (await inForce(host)).map(diagnosisOf)
  } catch (error) {
    if (error instanceof SteleError) return [refused(error)]
    throw error
  }
}
