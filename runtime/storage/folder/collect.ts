/**
 * Collection: objects that nobody refers to and leftovers of uploads, once their grace time is over. It only asks the
 * writer, which removes an object under its lock and only if nobody has touched it since; so whatever is kept while
 * this runs, in this process or another, stays.
 */
import type { Collected, CollectOptions, Digest } from "../../port/object.ts"
import { ConfigError } from "../../../schemas/error/config.ts"
import { digestBytes } from "../object/digest.ts"
import { objectFile, objectsOf, type ObjectRow } from "./catalogue.ts"
import { sweepStaging } from "./staging.ts"
import type { Operation } from "./writer.ts"
import { promised } from "./promised.ts"

const { join } = process.getBuiltinModule("node:path")

/** Digests that one question to `isLive` has at most. */
const pageRows = 500
/** Objects that are removed in one commit, so that others' writes wait no longer than for their own. */
const groupRows = 32

export interface Collecting {
  readonly folder: string
  readonly beforeMs: number
  list(after: Digest | undefined, countMax: number, touchedMsMax: number): ReadonlyArray<Digest>
  row(digest: Digest): ObjectRow | undefined
  ask(operation: Operation): Promise<boolean>
  isOpen(id: string): boolean
}

export function checkGrace(graceMs: number): void {
  if (!(graceMs >= 0)) throw new ConfigError("Option", { option: "graceMs", expected: "a number ≥ 0", actual: String(graceMs) })
}

export async function collectFolder({ isLive, graceMs }: CollectOptions, of: Collecting): Promise<Collected> {
  checkGrace(graceMs)
  let objects = 0
  let bytes = 0
  let after: Digest | undefined
  for (;;) {
    const page = of.list(after, pageRows, of.beforeMs)
    if (page.length === 0) break
    const live = await isLive(page)
    // Anything but a clear no keeps it: an answer that is short is no answer.
    const dead = page.filter((_, i) => live[i] === false)
    for (let from = 0; from < dead.length; from += groupRows) {
      const group = dead.slice(from, from + groupRows)
      const sizes = group.map((digest) => rowOf(of, digest)?.bytes ?? 0)
      const dropped = await Promise.all(group.map((digest) => of.ask({ op: "drop", digest: new Uint8Array(digestBytes(digest)), touchedMsMax: of.beforeMs })))
      objects += dropped.filter(Boolean).length
      bytes += sizes.reduce((sum, size, i) => sum + (dropped[i] === true ? size : 0), 0)
    }
    after = page.at(-1)
  }
  const uploads = (await sweepStaging(of.folder, of.beforeMs, of.isOpen)) + (await sweepObjects(of))
  return { objects, bytes, uploads }
}

/** What is known of an object, damaged ones being nothing that one can know of. */
function rowOf(of: Collecting, digest: Digest): ObjectRow | undefined {
  try {
    return of.row(digest)
  } catch {
    return undefined
  }
}

/** Files that were moved to their place and never got a row, or lost it while a process died. */
async function sweepObjects(of: Collecting): Promise<number> {
  let swept = 0
  for (const part of await promised().readdir(objectsOf(of.folder))) {
    for (const name of await promised().readdir(join(objectsOf(of.folder), part))) {
      const [, digest, file] = /^([0-9a-f]{64})-([0-9a-f]{32}-\d{1,9})$/.exec(name) ?? []
      if (digest === undefined || file === undefined || rowOf(of, digest)?.file === file) continue
      const found = await promised()
        .stat(objectFile(of.folder, digest, file))
        .catch(() => undefined)
      // By the time of its last change of name, which is when its row was about to be written.
      if (found === undefined || Math.max(found.mtimeMs, found.ctimeMs) > of.beforeMs) continue
      if (await of.ask({ op: "sweep", digest: new Uint8Array(digestBytes(digest)), file })) swept++
    }
  }
  return swept
}
