/**
 * Compiles the kernels' modules, each of one entry (`kernels/NAME.as.ts`): `inference.bitexact.gen.ts`, `training.bitexact.gen.ts` and `text.gen.ts` with plain SIMD, and
 * `inference.fast.gen.ts` and `training.fast.gen.ts` with relaxed SIMD too. A second line names the bytes of the sources, the compiler's version and this script by one digest, and the module by another: what is as it says is
 * left alone. Modules are deflated (`unpacked` of `memory/module.ts` undoes that): a third of their size in base64, in each of the package's files that carries them.
 *
 *     node runtime/build/kernels.ts
 */
import { createHash } from "node:crypto"
import { join } from "node:path"
import { deflateRawSync } from "node:zlib"
import { fileURLToPath } from "node:url"
import { toBase64 } from "../../schemas/value/base64.ts"
import { filesIn, fingerprintOf, textOf, writeChanged } from "./inputs.ts"

interface Compiler {
  readonly main: (
    args: ReadonlyArray<string>,
    options: { readonly stderr: { readonly write: (text: string) => void }; readonly writeFile: (name: string, contents: Uint8Array | string) => void },
  ) => Promise<{ readonly error: Error | null }>
  readonly createMemoryStream: () => { readonly write: (text: string) => void; readonly toString: () => string }
}

const root = fileURLToPath(new URL("../..", import.meta.url))
const folder = join(root, "kernels")
/** By the name of their file: of which entry, and with what beyond WebAssembly's first version. */
const modules = {
  "inference.bitexact": { entry: "inference", features: ["simd"] },
  "inference.fast": { entry: "inference", features: ["simd", "relaxed-simd"] },
  "training.bitexact": { entry: "training", features: ["simd"] },
  "training.fast": { entry: "training", features: ["simd", "relaxed-simd"] },
  text: { entry: "text", features: ["simd"] },
} as const

/** Where a module's constants begin, in bytes: those of training lie in one memory with those of inference. The first 64 KiB are the modules' (`memory.ts`), and a test sees that each keeps to its own. */
const constantsAt: Readonly<Record<string, number>> = { training: 32_768 }

const digestOf = (bytes: Uint8Array | string): string => createHash("sha256").update(bytes).digest("hex")

async function compiled(name: string, features: ReadonlyArray<string>): Promise<Uint8Array> {
  const asc = (await import("assemblyscript/asc")) as unknown as Compiler
  const stderr = asc.createMemoryStream()
  let bytes: Uint8Array | undefined
  const { error } = await asc.main(
    [
      `kernels/${name}.as.ts`,
      ...["--baseDir", root, "--outFile", "kernels.wasm", "--runtime", "stub", "--noAssert", "--importMemory", "-O3", "--converge"],
      ...["--memoryBase", String(constantsAt[name] ?? 0)],
      ...features.flatMap((feature) => ["--enable", feature]),
    ],
    {
      stderr,
      writeFile: (_, contents) => {
        if (typeof contents !== "string") bytes = contents
      },
    },
  )
  if (error !== null || bytes === undefined) throw new Error(`Cannot compile kernels/${name}.as.ts:\n${stderr.toString()}`, { cause: error })
  return bytes
}

const sources = (await filesIn(folder, { recursive: true })).filter((file) => file.endsWith(".as.ts"))
const from = await fingerprintOf([...sources, fileURLToPath(import.meta.url)], ["assemblyscript"])

for (const [name, { entry, features }] of Object.entries(modules)) {
  const path = join(folder, `${name}.gen.ts`)
  const [, ofSources, ofModule, module] =
    /^[^\n]*\n\/\/ sources ([0-9a-f]{64}), module ([0-9a-f]{64})\n[^"]*"([^"]*)"\n$/.exec((await textOf(path)) ?? "") ?? []
  if (ofSources === from && ofModule === digestOf(module as string)) continue
  const bytes = await compiled(entry, features)
  const packed = deflateRawSync(bytes, { level: 9 })
  const base64 = toBase64(packed)
  const text = `// do not edit, run \`node runtime/build/kernels.ts\`
// sources ${from}, module ${digestOf(base64)}
/** \`${entry}.as.ts\` with ${features.join(" and ")}: ${bytes.length} bytes, deflated to ${packed.length}, in base64. */
export const wasm =
  "${base64}"
`
  await writeChanged(path, text)
  console.error(`Compiled kernels/${name}: ${bytes.length} bytes`)
}
