/** Every object of a store read to its end, and what is referred to held against what is there. */
import { SteleError } from "../../../schemas/error/family.ts"
import type { Digest, ObjectFinding, ObjectStore } from "../../port/object.ts"
import { isDigest } from "./digest.ts"

const pageRows = 256
const damagedCode = "STELE-STO-0013"
/** What a store says of an object that it knows and whose bytes are gone. */
export const missingDetail = "its file is missing"

/** Reads one object to its end; what is wrong with it, if anything. */
async function checkObject(store: ObjectStore, digest: Digest): Promise<ObjectFinding | undefined> {
  try {
    const pieces = await store.stream(digest)
    // Collected meanwhile: whether somebody misses it is asked of those who refer to it.
    if (pieces === undefined) return undefined
    for await (const _ of pieces);
    return undefined
  } catch (error) {
    if (!(error instanceof SteleError) || error.code !== damagedCode) throw error
    const { detail } = error.reason as unknown as { readonly detail: string }
    return { digest, problem: detail === missingDetail ? "missing" : "damaged", detail }
  }
}

/** One that is damaged is there, and named as such; a server that does not answer has said nothing. */
function isDamaged(error: unknown): true {
  if (error instanceof SteleError && error.code === damagedCode) return true
  throw error
}

/** What of `expected` is not there. */
export async function missingOf(store: ObjectStore, expected: Iterable<Digest> | AsyncIterable<Digest>): Promise<ReadonlyArray<ObjectFinding>> {
  const findings: Array<ObjectFinding> = []
  for await (const digest of expected) {
    const isThere = isDigest(digest) && (await store.info(digest).catch(isDamaged)) !== undefined
    if (!isThere) findings.push({ digest, problem: "missing", detail: "it is referred to, and not there" })
  }
  return findings
}

export async function checkObjects(store: ObjectStore): Promise<ReadonlyArray<ObjectFinding>> {
  const findings: Array<ObjectFinding> = []
  let after: Digest | undefined
  for (;;) {
    const page = await store.list(after, pageRows)
    for (const digest of page) {
      const finding = await checkObject(store, digest)
      if (finding !== undefined) findings.push(finding)
    }
    after = page.at(-1)
    if (after === undefined) return findings
  }
}
