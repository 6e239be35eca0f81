/** C: bindings from the world, clang and wasm-ld, an encoder of ours. No C library. */
import { mkdir, readdir, rm } from "node:fs/promises"
import { join } from "node:path"
import { encodeComponent } from "../../../schemas/encode/mod.ts"
import { AuthorError } from "../../../schemas/error/author.ts"
import { cBindings } from "../../../schemas/generate/c/mod.ts"
import { bindingsFolder, worldOf, writeBindings } from "./bindings.ts"
import type { Toolchain } from "./mod.ts"
import { readOutput, runProgram, versionOf } from "./other.ts"

const install = "apt-get install clang lld, or LLVM with clang and wasm-ld from your system's packages"
const compile = "clang --target=wasm32 -std=c17 -O2 -mbulk-memory -msign-ext -mnontrapping-fptoint -ffreestanding -Wall -Isrc -Isdk".split(" ")
const link = "wasm-ld --no-entry --strip-all --gc-sections --stack-first -z stack-size=262144".split(" ")
/** Folders whose `*.c` are compiled. */
const sources = ["src", "sdk", bindingsFolder]

export const c: Toolchain = {
  async build(project) {
    const { folder } = project
    const { resolve, selected } = await worldOf(project)
    await writeBindings(project, cBindings({ world: selected.world, name: selected.full, notes: resolve.notes }))
    const files = (await Promise.all(sources.map((name) => sourcesIn(folder, name)))).flat()
    if (!files.some((file) => file.startsWith("src/"))) throw new AuthorError("Missing", { file: "src/plugin.c", what: "entry" })
    const objects = join("build", "objects")
    await rm(join(folder, objects), { recursive: true, force: true })
    await mkdir(join(folder, objects), { recursive: true })
    const made = files.map((file) => join(objects, `${file.replaceAll("/", "-")}.o`))
    const ended = await Promise.allSettled(
      files.map((file, i) => runProgram("c", [...compile, `-I${bindingsFolder}`, "-c", file, "-o", made[i] as string], folder, { install })),
    )
    for (const one of ended) if (one.status === "rejected") throw one.reason
    const core = join("build", "core.wasm")
    await runProgram("c", [...link, ...made, "-o", core], folder, { install })
    return encodeComponent(selected.world, await readOutput(folder, core, "what wasm-ld made"))
  },
  async needs() {
    const found = await Promise.all(["clang", "wasm-ld"].map(async (what) => [what, await versionOf(what, ["--version"])] as const))
    return found.map(([what, version]) => ({ what, found: version, install }))
  },
}

async function sourcesIn(folder: string, name: string): Promise<ReadonlyArray<string>> {
  const entries = await readdir(join(folder, name)).catch(() => [])
  return entries
    .filter((entry) => entry.endsWith(".c"))
    .toSorted()
    .map((entry) => `${name}/${entry}`)
}
