/** What of the machine's files is the storage's: no plugin is given a directory that holds or lies in one of these. */
import { dataFolder } from "./default.ts"
import { objectsOf, pglitePath, tenantsFolder } from "./storage.ts"

const { resolve } = process.getBuiltinModule("node:path")

/** Files and folders of a store, of its objects, and the folder where a person's store is kept when nothing is said. */
export function guardedPaths(storage: string, objects: string | undefined): ReadonlyArray<string> {
  const file = /^sqlite:(.+)$/s.exec(storage)?.[1]
  const store = file === undefined ? (pglitePath(storage) ?? tenantsFolder(storage)) : resolve(file)
  const folder = objects === undefined ? undefined : /^folder:(.+)$/s.exec(objects)?.[1]
  const own = dataFolder(process.env)
  return [...(store === undefined ? [] : [store, objectsOf(store)]), ...(folder === undefined ? [] : [resolve(folder)]), ...(own === undefined ? [] : [own])]
}
