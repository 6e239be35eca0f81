/**
 * Writes `kernel-vectors.json`: what the kernel that Extism publishes answers to the scripts of `script.ts`.
 *
 *     node test/host/extism/vectors.ts extism-runtime.wasm
 *
 * The file is in each of Extism's hosts, such as the Go module github.com/extism/go-sdk.
 */
import { createHash } from "node:crypto"
import { readFileSync, writeFileSync } from "node:fs"
import { type Kernel, play } from "./script.ts"

export const sha256Hex = (data: string | Uint8Array): string => createHash("sha256").update(data).digest("hex")

if (import.meta.main) {
  const bytes = readFileSync(process.argv[2] as string)
  const module = new WebAssembly.Module(bytes)
  const steps = 400
  const seeds = Object.fromEntries(
    Array.from({ length: 400 }, (_, seed) => {
      const answers = play(new WebAssembly.Instance(module).exports as unknown as Kernel, seed, steps)
      return [seed, sha256Hex(answers.join("\n")).slice(0, 16)]
    }),
  )
  const text = JSON.stringify({ kernel: `sha256:${sha256Hex(bytes)}`, steps, seeds }, null, 0).replaceAll('","', '",\n"')
  writeFileSync(new URL("kernel-vectors.json", import.meta.url), `${text}\n`)
}
