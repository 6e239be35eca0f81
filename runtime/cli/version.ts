/** The version of this package, from the `package.json` above this file: one folder up in the bundle, two in a checkout. */
import { readFileSync } from "node:fs"
import { carried } from "../carried.ts"

export function version(): string {
  const held = carried()
  if (held !== undefined) return held.info.version
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
