/** The worked cases, each answered by the rules from a price list that its policies make. */
import { readdir, readFile } from "node:fs/promises"
import { join } from "node:path"
import t from "tap"
import { differences } from "../billing/oracle-cases.ts"
import { type Case, translate } from "../billing/translate.ts"
import { answererOf } from "./billing/answerer.ts"
import { Rules } from "./billing/rules.ts"

t.setTimeout(240_000)

const folder = join(import.meta.dirname, "../billing/cases")
const rules = await Rules.open()
t.teardown(() => rules[Symbol.asyncDispose]())

let answered = 0
/** Values of policies that cases of different sources set. */
const conventions = new Map<string, Map<string, Set<string>>>()
const sources: Array<readonly [file: string, cases: readonly Case[]]> = []
for (const file of (await readdir(folder)).filter((name) => name.endsWith(".json")).toSorted())
  sources.push([file, (JSON.parse(await readFile(join(folder, file), "utf8")) as { readonly cases: readonly Case[] }).cases])
for (const [file, cases] of sources) {
  t.test(file, (t) => {
    for (const one of cases) {
      // What no price list says is counted, with its reasons, where the oracle is asked the same.
      const asked = translate(one)
      if ("reason" in asked) continue
      answered += 1
      for (const [name, value] of Object.entries(one.given.policies ?? {})) {
        const values = conventions.get(name) ?? new Map<string, Set<string>>()
        conventions.set(name, values.set(String(value), (values.get(String(value)) ?? new Set()).add(file)))
      }
      t.strictSame(differences(asked, answererOf(rules)), [], one.id)
    }
    t.end()
  })
}

t.test("at least 200 cases of sources that contradict one another are answered by policies alone", (t) => {
  const contradicted = [...conventions.values()].filter((values) => values.size > 1)
  const contradicting = new Set(contradicted.flatMap((values) => [...values.values()].flatMap((files) => [...files])))
  t.comment(`answered ${answered}; ${contradicted.length} policies with more than one value, in cases of ${contradicting.size} sources`)
  t.ok(contradicting.size >= 4 && contradicted.length >= 10)
  t.equal(answered, 650)
  t.end()
})
