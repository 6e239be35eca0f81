/**
 * Loaded before a program (`NODE_OPTIONS=--import=…`, which its threads heed too): takes one rule out of the store's source as
 * it is loaded. `STELE_POWER_MUTATION` names the rule. A text that is no longer in the source is an error, and not a rule kept.
 */
import { registerHooks } from "node:module"

const mutations = {
  "synchronous=OFF": ["sqlite/database.ts", "PRAGMA synchronous = FULL", "PRAGMA synchronous = OFF"],
  "synchronous=NORMAL": ["sqlite/database.ts", "PRAGMA synchronous = FULL", "PRAGMA synchronous = NORMAL"],
  "folder left to SQLite": ["sqlite/database.ts", "    syncFolder(folder)\n", ""],
  "mark before COMMIT": ["sqlite/writer.ts", "this.#committing.run()", "this.#mark.write(commit); this.#committing.run()"],
  "refused batch not undone": ["sqlite/writer.ts", "ROLLBACK TO batch; RELEASE batch", "RELEASE batch"],
}
const [file, from, to] = mutations[process.env.STELE_POWER_MUTATION]

registerHooks({
  load(url, context, next) {
    const loaded = next(url, context)
    if (!url.endsWith(file)) return loaded
    const source = String(loaded.source)
    if (source.split(from).length !== 2) throw new Error(`Cannot take the rule out: "${from}" is not once in ${file}`)
    return { ...loaded, source: source.replace(from, () => to) }
  },
})
