/** Exports by any name that is not ambiguous, as command lines and paths name them. */
import { ConfigError } from "../../schemas/error/config.ts"
import { PluginError } from "../../schemas/error/plugin.ts"
import { closest } from "../../schemas/value/closest.ts"
import { splitVersion } from "../../host/link/link.ts"
import type { Description } from "../../host/plugin.ts"

export type Exported = Pick<Description["exports"][number], "name" | "type">

/** Every name that means this export, the exact ones first: whole, without version, `interface#function`, `function`. */
function namesOf(name: string): ReadonlyArray<string> {
  const hash = name.indexOf("#")
  if (hash < 0) return [name]
  const [full, label] = [name.slice(0, hash), name.slice(hash + 1)]
  const plain = splitVersion(full).name
  return [name, `${plain}#${label}`, `${plain.slice(plain.lastIndexOf("/") + 1)}#${label}`, label]
}

/**
 * The export that `wanted` means.
 * @throws PluginError `UnknownExport` with near names; ConfigError `Usage` when several match
 */
export function findExport<E extends { readonly name: string }>(exports: ReadonlyArray<E>, wanted: string): E {
  for (let precision = 0; precision < 4; precision++) {
    const matches = exports.filter(({ name }) => namesOf(name)[precision] === wanted)
    if (matches.length === 1) return matches[0] as E
    if (matches.length > 1) {
      throw new ConfigError("Usage", {
        detail: `Cannot tell which export "${wanted}" is: there are ${matches.length}`,
        advice: `name one of ${matches.map(({ name }) => name).join(", ")}`,
      })
    }
  }
  const near = closest(
    wanted,
    exports.map(({ name }) => name),
  )
  // With one or two exports every one of them is worth naming.
  throw new PluginError("UnknownExport", { export: wanted, candidates: near.length > 0 || exports.length > 2 ? near : exports.map(({ name }) => name) })
}

/** The shortest of its names that means no other export. */
export function shortName(exports: ReadonlyArray<{ readonly name: string }>, name: string): string {
  const names = namesOf(name)
  for (let precision = names.length - 1; precision > 0; precision--)
    if (exports.filter((one) => namesOf(one.name)[precision] === names[precision]).length === 1) return names[precision] as string
  return name
}
