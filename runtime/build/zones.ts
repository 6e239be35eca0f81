/**
 * Writes `schemas/billing/zones.gen.ts`: the zones of one release of the IANA database. The release is named here by its digest, so nothing else
 * is compiled by mistake. Where the source is not at hand, what is there stays as it is, and one line says so.
 *
 *     node runtime/build/zones.ts
 *
 * The source is `tzdata.zi` as the Python package `tzdata` has it: `STELE_TZDATA` names that file, or it is looked for in `.cache/python`, where
 * `.ci/run` installs the package. For another release: install that version, correct `pinned` below, run this.
 */
import { createHash } from "node:crypto"
import { existsSync, globSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { toBase64 } from "../../schemas/value/base64.ts"
import { packZones } from "../../schemas/billing/zone-table.ts"
import { compileZones, parseZones } from "./zone-source.ts"

/** Release 2026f: `tzdata` 2026.6. */
export const pinned = { release: "2026f", sha256: "76f36b09780cd03f8d0576d0208813395e01bbc9bd861e9bdeadb4db35721fda" }

/** Zones that are one since 1970 share their past in the database's main form, so from there on it is exact. */
const from = 0
/** Rules without an end are carried out up to here. */
const until = Date.UTC(2100, 0, 1) / 1000

const root = join(import.meta.dirname, "../..")
export const generatedPath = join(root, "schemas/billing/zones.gen.ts")

/** The pinned source, or undefined where it is not installed. @throws Error when `STELE_TZDATA` names something else */
export function pinnedSource(): string | undefined {
  const named = process.env["STELE_TZDATA"] ?? ""
  const paths = named === "" ? globSync(join(root, ".cache/python/lib/python3*/site-packages/tzdata/zoneinfo/tzdata.zi")) : [named]
  for (const path of paths.filter((each) => existsSync(each))) {
    const bytes = readFileSync(path)
    if (createHash("sha256").update(bytes).digest("hex") === pinned.sha256) return bytes.toString("utf8")
  }
  if (named !== "") throw new Error(`Cannot compile zones from "${named}": it is not release ${pinned.release} with the digest ${pinned.sha256}`)
  return undefined
}

/** The table as bytes. */
export const compiled = (source: string): Uint8Array<ArrayBuffer> =>
  packZones({ release: pinned.release, source: pinned.sha256, from, until }, compileZones(parseZones(source), from, until))

/** The generated module. */
export function moduleOf(table: Uint8Array<ArrayBuffer>): string {
  const digest = createHash("sha256").update(table).digest("hex")
  return `// do not edit, run \`node runtime/build/zones.ts\`
/** Release ${pinned.release} of the IANA time zone database, 1970 to 2099, as \`zone-table.ts\` packs it: ${table.length} bytes, in base64. */
export const zonesDigest = "${digest}"
export const zonesBase64 =
  "${toBase64(table)}"
`
}

if (import.meta.main) {
  const source = pinnedSource()
  if (source === undefined) process.stderr.write(`Left ${generatedPath} as it is: the source of release ${pinned.release} is not installed\n`)
  else {
    const text = moduleOf(compiled(source))
    if (!existsSync(generatedPath) || text !== readFileSync(generatedPath, "utf8")) writeFileSync(generatedPath, text)
  }
}
