/** Everything of a folder read and held against what was written. */
import type { DatabaseSync } from "node:sqlite"
import type { Digest, ObjectFinding, ObjectStore } from "../../port/object.ts"
import { reading } from "../sqlite/database.ts"
import { checkObjects, missingOf } from "../object/check.ts"
import { sumsMod } from "./catalogue.ts"

export async function checkFolder(
  store: ObjectStore,
  reader: DatabaseSync,
  expected?: Iterable<Digest> | AsyncIterable<Digest>,
): Promise<ReadonlyArray<ObjectFinding>> {
  const findings = [...(await checkObjects(store))]
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
