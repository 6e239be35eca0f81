import type { ComponentReader } from "./reader.ts"

/**
 * `label` of Explainer.md "Import and Export Definitions": words of one case joined by dashes, the first starting with
 * a letter. The alternatives are disjoint, so that no input makes the matcher backtrack.
 */
const labelPattern = /^(?:[a-z][0-9a-z]*|[A-Z][0-9A-Z]*)(?:-(?:[0-9]*[a-z][0-9a-z]*|[0-9]*[A-Z][0-9A-Z]*|[0-9]+))*$/
const semver = String.raw`(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?`
const labelSource = labelPattern.source.slice(1, -1)
const interfacePattern = new RegExp(`^${labelSource}(?::${labelSource})+(?:/${labelSource})+(?:@${semver})?$`)
const annotatedPattern = new RegExp(`^\\[(constructor|method|static)\\](${labelSource})(?:\\.(${labelSource}))?$`)
const labelLengthMax = 256

/** A kebab-case label, or `VerifyError`. */
export function checkLabel(name: string, r: ComponentReader, offset: number): string {
  if (name.length > labelLengthMax) throw r.malformed(`a label is longer than ${labelLengthMax} characters`, offset)
  if (!labelPattern.test(name)) throw r.malformed(`"${printable(name)}" is not a kebab-case label`, offset)
  return name
}

/** A name of an import or export: label, annotated resource function, or interface name. */
export function externName(name: string, r: ComponentReader, offset: number): string {
  if (name.length > 2 * labelLengthMax) throw r.malformed(`a name is longer than ${2 * labelLengthMax} characters`, offset)
  if (labelPattern.test(name) || interfacePattern.test(name)) return name
  const annotated = annotatedPattern.exec(name)
  if (annotated !== null && (annotated[1] === "constructor") === (annotated[3] === undefined)) return name
  if (/^\[(async|implements)/.test(name)) throw r.unsupported("annotated names of the async proposal", offset)
  if (/^(url|integrity|locked-dep|unlocked-dep|relative-url)=/.test(name)) throw r.unsupported("imports by URL, hash or dependency", offset)
  throw r.malformed(`"${printable(name)}" is not the name of an import or export`, offset)
}

/** The parts of `[method]counter.increment`; undefined for a plain function name. */
export function resourceFunction(name: string): { readonly kind: "constructor" | "method" | "static"; readonly resource: string } | undefined {
  const annotated = annotatedPattern.exec(name)
  return annotated === null ? undefined : { kind: annotated[1] as "constructor" | "method" | "static", resource: annotated[2] as string }
}

/** Guest text for a message: control, escape and bidirectional characters escaped, at most `charsMax` characters before that. */
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
