/** Stores in PGlite for tests: set up once, which takes seconds, and copied. */
import { cp, mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { StoreLimitOptions } from "../../../../runtime/port/limits.ts"
import { PgliteStore } from "../../../../runtime/storage/pglite/mod.ts"

/** Where the package is, which the runtime has only as an optional peer. */
export const driver = import.meta.resolve("@electric-sql/pglite")

export interface Folders extends AsyncDisposable {
  /** A folder that is set up, of its own. */
  make(): Promise<string>
  open(limits?: StoreLimitOptions): Promise<PgliteStore>
}

export async function folders(): Promise<Folders> {
  const root = await mkdtemp(join(tmpdir(), "stele-pglite-"))
  const pattern = join(root, "pattern")
  await (await PgliteStore.open(pattern, { driver })).close()
  let made = 0
  const make = async (): Promise<string> => {
    const path = join(root, `store${made++}`)
    await cp(pattern, path, { recursive: true })
    return path
  }
  return {
    make,
    open: async (limits = {}) => PgliteStore.open(await make(), { driver, ...limits }),
    [Symbol.asyncDispose]: () => rm(root, { recursive: true, force: true }),
  }
}
