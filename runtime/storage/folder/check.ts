/** Everything of a folder read and held against what was written. */
import type { DatabaseSync } from "node:sqlite"
import { SteleError } from "../../../schemas/error/family.ts"
import type { Digest, ObjectFinding, ObjectStore } from "../../port/object.ts"
import { reading } from "../sqlite/database.ts"
import { isDigest } from "../object/digest.ts"
import { sumsMod } from "./catalogue.ts"

const pageRows = 256

/** Reads one object to its end; what is wrong with it, if anything. */
export async function checkObject(store: ObjectStore, digest: Digest): Promise<ObjectFinding | undefined> {
  try {
    const pieces = await store.stream(digest)
    // Collected meanwhile: whether somebody misses it is asked of those who refer to it.
    if (pieces === undefined) return undefined
    for await (const _ of pieces);
    return undefined
  } catch (error) {
    if (!(error instanceof SteleError) || error.code !== "STELE-STO-0013") throw error
    const { detail } = error.reason as unknown as { readonly detail: string }
    return { digest, problem: detail === "its file is missing" ? "missing" : "damaged", detail }
  }
}

/** What of `expected` is not there. */
export async function missingOf(store: ObjectStore, expected: Iterable<Digest> | AsyncIterable<Digest>): Promise<ReadonlyArray<ObjectFinding>> {
  const findings: Array<ObjectFinding> = []
  for await (const digest of expected) {
    const isThere = isDigest(digest) && (await store.info(digest).catch(() => "damaged")) !== undefined
    if (!isThere) findings.push({ digest, problem: "missing", detail: "it is referred to, and not there" })
  }
  return findings
}

export async function checkFolder(
  store: ObjectStore,
  reader: DatabaseSync,
  expected?: Iterable<Digest> | AsyncIterable<Digest>,
): Promise<ReadonlyArray<ObjectFinding>> {
  const findings: Array<ObjectFinding> = []
  let after: Digest | undefined
  for (;;) {
    const page = await store.list(after, pageRows)
    for (const digest of page) {
      // A row under a key that is not its own digest is what a damaged index looks like.
      const finding = await checkObject(store, digest)
      if (finding !== undefined) findings.push(finding)
    }
    after = page.at(-1)
    if (after === undefined) break
  }
  const whole = (detail: string): void => void findings.push({ digest: undefined, problem: "damaged", detail })
  // One statement: what it counts and what the totals say are of the same moment. By the table, and by the index.
  const totals = reading(store.name, () =>
    reader
      .prepare(
        `SELECT t.objects, t.bytes, t.sums, count(o.id) AS rows, coalesce(sum(o.bytes), 0) AS sizes, coalesce(sum(o.sum), 0) % ${sumsMod} AS added,
          (SELECT count(*) FROM object INDEXED BY sqlite_autoindex_object_1 WHERE digest >= x'') AS keys
        FROM object_total t LEFT JOIN object o NOT INDEXED`,
      )
      .get(),
  )
  if (totals === undefined || totals["objects"] === null) whole("the totals of the catalogue are gone")
  else if (
    totals["objects"] !== totals["rows"] ||
    totals["bytes"] !== totals["sizes"] ||
    totals["sums"] !== totals["added"] ||
    totals["keys"] !== totals["rows"]
  )
    whole(
      `the catalogue has ${String(totals["rows"])} objects of ${String(totals["sizes"])} bytes, and ${String(totals["objects"])} of ${String(totals["bytes"])} were written`,
    )
  if (expected !== undefined) findings.push(...(await missingOf(store, expected)))
  return findings
}
