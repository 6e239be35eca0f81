/** Writes `host/foreign/extism/kernel.gen.ts` from the kernel's text beside it. */
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { parse } from "@bytecodealliance/jco-transpile/wasm-tools"
import { toBase64 } from "../../schemas/value/base64.ts"

const folder = join(import.meta.dirname, "../../host/foreign/extism")
const bytes = await parse(readFileSync(join(folder, "kernel.wat"), "utf8"))
writeFileSync(
  join(folder, "kernel.gen.ts"),
  `// do not edit, run \`node runtime/build/extism-kernel.ts\`
/** \`kernel.wat\` as a binary of ${bytes.length} bytes, in base64. */
export const kernelBase64 =
  "${toBase64(bytes)}"
`,
)
