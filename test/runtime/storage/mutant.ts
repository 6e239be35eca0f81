/**
 * The sources with one rule taken out: `mutant(file, from, to)` loads a module and everything of ours below it anew,
 * with `from` replaced in `file`. What a test does not notice when a rule is gone, it does not test.
 */
import { registerHooks } from "node:module"

interface Mutation {
  readonly file: string
  readonly from: string
  readonly to: string
  /** How often the text was replaced: each time the file was loaded. */
  count: number
}

const mutations: Array<Mutation> = []
const numberOf = (url: string | undefined): string | undefined => /[?&]mutant=(\d+)/.exec(url ?? "")?.[1]

registerHooks({
  resolve(specifier, context, next) {
    const found = next(specifier, context)
    const number = numberOf(context.parentURL)
    if (number === undefined || !found.url.startsWith("file:") || found.url.includes("/node_modules/") || numberOf(found.url) !== undefined) return found
    return { ...found, url: `${found.url}?mutant=${number}` }
  },
  load(url, context, next) {
    const mutation = mutations[Number(numberOf(url))]
    const found = next(url, context)
    if (mutation === undefined || !new URL(url).pathname.endsWith(mutation.file)) return found
    const source = typeof found.source === "string" ? found.source : Buffer.from(found.source as Uint8Array).toString()
    if (source.split(mutation.from).length !== 2) throw new Error(`"${mutation.from}" is not once in ${mutation.file}`)
    mutation.count++
    return { ...found, source: source.replace(mutation.from, () => mutation.to) }
  },
})

/** A module loaded with the change; throws when the text is not in the file, exactly once. */
export async function mutant<M>(module: URL, file: string, from: string, to: string): Promise<M> {
  const mutation: Mutation = { file, from, to, count: 0 }
  const loaded = (await import(`${module.href}?mutant=${mutations.push(mutation) - 1}`)) as M
  if (mutation.count === 0) throw new Error(`${file} is not loaded by ${module.href}`)
  return loaded
}
