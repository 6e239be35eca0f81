/**
 * Names of the component model: `label`, `interfacename` and annotated names of Explainer.md "Import and Export
 * Definitions". The alternatives of each pattern are disjoint, so that no input makes the matcher backtrack.
 */
const label = String.raw`(?:[a-z][0-9a-z]*|[A-Z][0-9A-Z]*)(?:-(?:[0-9]*[a-z][0-9a-z]*|[0-9]*[A-Z][0-9A-Z]*|[0-9]+))*`
const semver = String.raw`(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?`

const labelPattern = new RegExp(`^${label}$`)
const interfacePattern = new RegExp(`^${label}(?::${label})+(?:/${label})+(?:@${semver})?$`)
const resourceFunctionPattern = new RegExp(`^\\[(constructor|method|static)\\](${label})(?:\\.(${label}))?$`)

/** Words of one case, joined by dashes, the first starting with a letter: `max-bytes`, `a-URL`. */
export const isLabel = (text: string): boolean => labelPattern.test(text)

/** `wasi:clocks/wall-clock@0.2.6`: a package, an interface or world of it, and a version where the package has one. */
export const isInterfaceName = (text: string): boolean => interfacePattern.test(text)

/** A function that belongs to a resource. */
export interface ResourceFunction {
  readonly kind: "constructor" | "method" | "static"
  readonly resource: string
}

/** The parts of `[method]counter.increment` and `[constructor]counter`; undefined for any other name. */
export function resourceFunction(name: string): ResourceFunction | undefined {
  const [, kind, resource, member] = resourceFunctionPattern.exec(name) ?? []
  if (kind === undefined || (kind === "constructor") !== (member === undefined)) return undefined
  return { kind: kind as ResourceFunction["kind"], resource: resource as string }
}

/** A guest's text for a message: control, escape and bidirectional characters escaped, at most `charsMax` characters before that. */
export function printable(text: string, charsMax = 200): string {
  let out = ""
  for (const char of text.slice(0, charsMax)) {
    const code = char.codePointAt(0) as number
    const isHidden =
      code < 0x20 ||
      (code >= 0x7f && code < 0xa0) ||
      (code >= 0x200b && code <= 0x200f) ||
      (code >= 0x2028 && code <= 0x202e) ||
      (code >= 0x2066 && code <= 0x2069) ||
      code === 0xfeff
    out += isHidden ? `\\u{${code.toString(16)}}` : char
  }
  return text.length > charsMax ? `${out}…` : out
}
