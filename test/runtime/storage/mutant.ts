/**
 * The sources with one rule taken out: `mutant(file, from, to)` loads a module and everything of ours below it anew,
 * with `from` replaced in `file`. What a test does not notice when a rule is gone, it does not test.
 */
import { registerHooks } from "node:module"

interface Change {
  readonly file: string
  readonly from: string
  readonly to: string
}

interface Mutation extends Change {
  /** How often the text was replaced: each time the file was loaded. */
  count: number
}

const mutations: Array<ReadonlyArray<Mutation>> = []
const numberOf = (url: string | undefined): string | undefined => /[?&]mutant=(\d+)/.exec(url ?? "")?.[1]

registerHooks({
  resolve(specifier, context, next) {
    const found = next(specifier, context)
    const number = numberOf(context.parentURL)
    if (number === undefined || !found.url.startsWith("file:") || found.url.includes("/node_modules/") || numberOf(found.url) !== undefined) return found
    return { ...found, url: `${found.url}?mutant=${number}` }
  },
  load(url, context, next) {
    const own = mutations[Number(numberOf(url))]?.filter(({ file }) => new URL(url).pathname.endsWith(file)) ?? []
    const found = next(url, context)
    if (own.length === 0) return found
    let source = typeof found.source === "string" ? found.source : Buffer.from(found.source as Uint8Array).toString()
    for (const mutation of own) {
      if (source.split(mutation.from).length !== 2) throw new Error(`"${mutation.from}" is not once in ${mutation.file}`)
      mutation.count++
      source = source.replace(mutation.from, () => mutation.to)
    }
    return { ...found, source }
  },
})

/** A module loaded with the changes; throws when a text is not in its file, exactly once. */
export async function mutantOf<M>(module: URL, changes: ReadonlyArray<Change>): Promise<M> {
  const mutation = changes.map((change): Mutation => ({ ...change, count: 0 }))
  const loaded = (await import(`${module.href}?mutant=${mutations.push(mutation) - 1}`)) as M
  for (const { file, count } of mutation) if (count === 0) throw new Error(`${file} is not loaded by ${module.href}`)
  return loaded
}

/** A module loaded with one change. */
export const mutant = <M>(module: URL, file: string, from: string, to: string): Promise<M> => mutantOf<M>(module, [{ file, from, to }])
