/** Objects of a store held against its references: each one whole, and every reference with its own. */
import { StorageError } from "../../schemas/error/storage.ts"
import type { Digest, ObjectFinding, ObjectStore } from "../port/object.ts"
import { type Place, textOf } from "../port/place.ts"
import type { Answers, Finding, Question } from "../port/store.ts"
import { hexOf } from "./reference-proof.ts"

type Reference = Answers["references"][number]

/** What tells the references of all tenants: a store, or who sees all of one. */
export interface References {
  ask(question: Extract<Question, { readonly ask: "references" }>): Promise<Answers["references"]>
}

const pageRows = 500

/** References of all tenants up to the first that is damaged, which the store's own check names. */
async function* referencesOf(store: References): AsyncGenerator<Reference, void, void> {
  try {
    for (let beyond: Place | undefined; ;) {
      const page = await store.ask({ ask: "references", beyond, countMax: pageRows })
      yield* page
      if (page.length < pageRows) return
      beyond = page.at(-1)
    }
  } catch (error) {
    if (!(error instanceof StorageError && error.reason._tag === "Corrupt")) throw error
  }
}

async function* digestsOf(store: References): AsyncGenerator<Digest, void, void> {
  for await (const { digest } of referencesOf(store)) yield hexOf(digest)
}

/** Where no place for objects has been made yet, all that are referred to are missing. */
async function missing(store: References): Promise<ReadonlyArray<ObjectFinding>> {
  const found: Array<ObjectFinding> = []
  for await (const digest of digestsOf(store)) found.push({ digest, problem: "missing", detail: "" })
  return found
}

/**
 * Reads every object, and looks for that of every reference. What is damaged or missing is named with a key that refers to it; one that nobody refers
 * to any more when it is looked for again was removed meanwhile, and is not missing.
 */
export async function checkReferred(store: References, objects: ObjectStore | undefined): Promise<ReadonlyArray<Finding>> {
  const found = await (objects === undefined ? missing(store) : objects.check(digestsOf(store)))
  if (found.length === 0) return []
  const wanted = new Set(found.map(({ digest }) => digest))
  const referring = new Map<Digest, string>()
  for await (const { tenant, key, digest } of referencesOf(store)) {
    const name = hexOf(digest)
    if (wanted.has(name) && !referring.has(name)) referring.set(name, `${textOf(tenant)}/${textOf(key)}`)
  }
  const findings = new Map<string, Finding>()
  for (const { digest, problem, detail } of found) {
    const by = digest === undefined ? undefined : referring.get(digest)
    if (problem === "missing" && by === undefined) continue
    const said = problem === "missing" ? `it is not there, and referred to by ${by}` : by === undefined ? detail : `${detail}; it is referred to by ${by}`
    findings.set(`${problem} ${digest}`, { table: "object", key: digest ?? "", detail: said })
  }
  return [...findings.values()]
}
