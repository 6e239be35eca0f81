/** Deno ≥ 2.9. It asks the person at the terminal for a missing permission; a cache is not worth a question. */
import { openFolderCache } from "./cache-folder.ts"
import { loadIsolates } from "./isolate/load.ts"
import type { Platform } from "./platform.ts"
import { cacheFolder, serverPlatform } from "./server.ts"

/** The part of Deno's namespace that is used, declared here so that the checkout needs no Deno types. */
interface DenoPermissions {
  querySync(descriptor: { readonly name: "env"; readonly variable: string } | { readonly name: "read" | "write"; readonly path: string }): {
    readonly state: string
  }
}

function permissions(): DenoPermissions | undefined {
  return (globalThis as { readonly Deno?: { readonly permissions: DenoPermissions } }).Deno?.permissions
}

const variables = ["STELE_CACHE", "XDG_CACHE_HOME", "HOME"] as const

export const platform: Platform = serverPlatform("deno", {
  loadIsolates,
  async openCache(bytesMax) {
    try {
      const granted = permissions()
      const environment: Record<string, string | undefined> = {}
      for (const variable of variables) {
        if (granted?.querySync({ name: "env", variable }).state === "granted") environment[variable] = process.env[variable]
      }
      // Without a variable the home folder is unknown: `os.homedir` would ask.
      if (environment["STELE_CACHE"] === undefined && environment["XDG_CACHE_HOME"] === undefined && environment["HOME"] === undefined) return undefined
      const folder = cacheFolder(environment)
      if (folder === undefined) return undefined
      for (const name of ["read", "write"] as const) {
        if (granted?.querySync({ name, path: folder }).state !== "granted") return undefined
      }
      return await openFolderCache(folder, bytesMax)
    } catch {
      return undefined
    }
  },
})
