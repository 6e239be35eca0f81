/**
 * The conformance cases on PGlite. Each of some 45 sets of limits needs a store of its own, and a store half a second and
 * 400 MB: all of them with `--full`, else those of the two sets that most cases share.
 */
import t from "tap"
import { conformance, storeCases } from "../suite/conformance.ts"
import { sqlBackends } from "../suite/sql.ts"
import { folders } from "./pglite.ts"

t.setTimeout(600_000)
const isFull = process.env["STELE_TEST_FULL"] === "1"

const made = await folders()
t.teardown(() => made[Symbol.asyncDispose]())

const sets = Map.groupBy(storeCases, ({ limits = {} }) => JSON.stringify(limits))
const isRare = (limits: object = {}): boolean => (sets.get(JSON.stringify(limits))?.length ?? 0) < 50
const left = isFull ? [] : storeCases.filter(({ limits }) => isRare(limits)).map(({ title }) => title)
if (left.length > 0) t.comment(`${left.length} cases with limits of their own run with --full`)

conformance(t, [
  {
    name: "pglite",
    skips: new Set(left),
    openMax: 2,
    async open(limits) {
      const store = await made.open(limits)
      sqlBackends.set(store, { dialect: "postgres", target: async (name) => store.migrationTarget(name) })
      return store
    },
  },
])
