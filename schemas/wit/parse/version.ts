/** Versions of packages: SemVer 2.0.0, its precedence, and which versions stand for which. */

/** `1.2.3-rc.1+build`, taken apart. */
export interface Version {
  readonly text: string
  /** major, minor, patch */
  readonly core: readonly [string, string, string]
  readonly pre: ReadonlyArray<string>
}

const number = "(?:0|[1-9][0-9]*)"
const pattern = new RegExp(
  `(${number})\\.(${number})\\.(${number})(?:-((?:${number}|[0-9]*[A-Za-z-][0-9A-Za-z-]*)(?:\\.(?:${number}|[0-9]*[A-Za-z-][0-9A-Za-z-]*))*))?` +
    "(?:\\+[0-9A-Za-z-]+(?:\\.[0-9A-Za-z-]+)*)?(?![0-9A-Za-z+-])",
  "y",
)
const charsMax = 256

/** The version that begins at `at`, or undefined where none does. */
export function versionAt(text: string, at: number): Version | undefined {
  // A version is short; a text of megabytes that only looks like one is not looked through.
  pattern.lastIndex = 0
  const found = pattern.exec(text.slice(at, at + charsMax))
  if (found === null || found[0].length === charsMax) return undefined
  const core = [found[1], found[2], found[3]] as [string, string, string]
  if (core.some((part) => part.length > 20 || BigInt(part) >= 1n << 64n)) return undefined
  return { text: found[0], core, pre: found[4] === undefined ? [] : found[4].split(".") }
}

/** Digits as numbers of any size. */
const compareNumbers = (a: string, b: string): number => a.length - b.length || (a < b ? -1 : a > b ? 1 : 0)

function comparePre(a: string, b: string): number {
  const [left, right] = [/^\d+$/.test(a), /^\d+$/.test(b)]
  if (left && right) return compareNumbers(a, b)
  if (left !== right) return left ? -1 : 1
  return a < b ? -1 : a > b ? 1 : 0
}

/** Below 0 when `a` comes before `b` (SemVer 2.0.0 §11; what is built of it does not count). */
export function compareVersions(a: Version, b: Version): number {
  for (let i = 0; i < 3; i++) {
    const order = compareNumbers(a.core[i] as string, b.core[i] as string)
    if (order !== 0) return order
  }
  if (a.pre.length === 0 || b.pre.length === 0) return b.pre.length - a.pre.length
  for (let i = 0; i < a.pre.length && i < b.pre.length; i++) {
    const order = comparePre(a.pre[i] as string, b.pre[i] as string)
    if (order !== 0) return order
  }
  return a.pre.length - b.pre.length
}

/** What compatible versions have in common: the first number that is not 0, and for a pre-release all of it (Explainer.md "canonversion"). */
export function track(version: Version): string {
  const [major, minor] = version.core
  if (version.pre.length > 0) return version.text
  return major !== "0" ? major : minor !== "0" ? `0.${minor}` : version.core.join(".")
}
