/** An Extism manifest in the place of a plugin's file. */
import { extismManifest } from "../../host/foreign/extism/manifest.ts"
import type { Source } from "../../host/host.ts"
import type { LoadOptions } from "../../host/options.ts"
import { readInput } from "./argument.ts"
import { textOf } from "./extism.ts"

/** The manifest in a file: JSON that names modules. Anything else is left to whoever reads plugins. */
function parseManifest(bytes: Uint8Array): object | undefined {
  try {
    const value: unknown = JSON.parse(textOf(bytes) ?? "")
    return typeof value === "object" && value !== null && Object.hasOwn(value, "wasm") ? value : undefined
  } catch {
    return undefined
  }
}

/** What FILE stands for: an Extism manifest by its ending and what is in it, anything else as it is. What the command line says comes on top. */
export async function sourceOf(file: string, options: LoadOptions): Promise<{ readonly source: Source; readonly options: LoadOptions }> {
  const json = file.endsWith(".json") && !/^https?:/.test(file) ? parseManifest(await readInput(file)) : undefined
  if (json === undefined) return { source: file, options }
  const manifest = extismManifest(json, { cwd: process.cwd(), wasi: true })
  return {
    source: manifest.source,
    options: {
      ...manifest.options,
      ...options,
      grants: [...(manifest.options.grants ?? []), ...(options.grants ?? [])],
      limits: { ...manifest.options.limits, ...options.limits },
      config: { ...manifest.options.config, ...options.config },
    },
  }
}
