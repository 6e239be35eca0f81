/** The version of this package, from the `package.json` above this file: one folder up in the bundle, two in a checkout. */
import { readFileSync } from "node:fs"

export function version(): string {
  for (const path of ["../package.json", "../../package.json"]) {
    try {
      const manifest = JSON.parse(readFileSync(new URL(path, import.meta.url), "utf8")) as { readonly name?: string; readonly version?: string }
      if (manifest.name === "stele" && manifest.version !== undefined) return manifest.version
    } catch {
      // Not there: the other place.
    }
  }
  return "unknown"
}
