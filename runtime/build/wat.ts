/**
 * Writes the `.gen.ts` beside each module that is kept as WebAssembly text. One that is as it was is left alone.
 *
 *     node runtime/build/wat.ts
 */
import { readFile } from "node:fs/promises"
import { basename, join } from "node:path"
import { parse } from "@bytecodealliance/jco-transpile/wasm-tools"
import { toBase64 } from "../../schemas/value/base64.ts"
import { writeChanged } from "./inputs.ts"
import { stripped } from "./strip.ts"

const root = join(import.meta.dirname, "../..")

/** Names are stripped of what is loaded by everybody; in the kernel of Extism and the sample they are read in stack traces. */
const modules = [
  { path: "host/foreign/extism/kernel", hasNames: true },
  { path: "host/isolate/sample", hasNames: true },
  { path: "schemas/encode/preview1", hasNames: false },
  { path: "kernels/sha256/sha256", hasNames: false },
]

for (const { path, hasNames } of modules) {
  const name = basename(path)
  const parsed = await parse(await readFile(join(root, `${path}.wat`), "utf8"))
  const bytes = hasNames ? parsed : stripped(parsed)
  const file = join(root, `${path}.gen.ts`)
  const text = `// do not edit, run \`node runtime/build/wat.ts\`
/** \`${name}.wat\` as a binary of ${bytes.length} bytes, in base64. */
export const ${name}Base64 =
  "${toBase64(bytes)}"
`
  await writeChanged(file, text)
}
