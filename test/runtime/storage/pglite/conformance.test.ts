/**
 * The conformance cases on PGlite: all with `--full`, else every third, since what is different below a server's statements,
 * which pass them all, is the driver. Cases with limits of their own need some fifteen stores more, and a store half a second
 * and 400 MB: those with `--full`, too. @long
 */
import t from "tap"
import { conformance, isOfDefault, storeCases } from "../suite/conformance.ts"
import { sqlBackends } from "../suite/sql.ts"
import { folders } from "./pglite.ts"
import { isFull, sampled } from "../../../seed.ts"

t.setTimeout(600_000)

const made = await folders()
t.teardown(() => made[Symbol.asyncDispose]())

const taken = new Set(isFull ? storeCases : sampled(storeCases.filter(isOfDefault), 3))
const left = storeCases.filter((each) => !taken.has(each)).map(({ title }) => title)
if (left.length > 0) t.comment(`${left.length} more cases run with --full`)

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
