/** Go: bindings from the world, the go command for `wasip1`, an encoder of ours that answers preview 1 inside the component. */
import { mkdir } from "node:fs/promises"
import { dirname, join, relative } from "node:path"
import { encodeComponent } from "../../../schemas/encode/mod.ts"
import { AuthorError } from "../../../schemas/error/author.ts"
import { goBindings } from "../../../schemas/generate/go/mod.ts"
import { entryOf } from "../project.ts"
import { worldOf, writeBindings } from "./bindings.ts"
import type { Toolchain } from "./mod.ts"
import { readOutput, runProgram, versionOf } from "./other.ts"

const install = "install Go 1.24 or later: https://go.dev/dl"
/** The first that exports functions from a `wasip1` library (`go:wasmexport`). */
const minorMin = 24
const env = { GOOS: "wasip1", GOARCH: "wasm", CGO_ENABLED: "0" }

/** The version of the go command, where it is one that can. */
async function findGo(): Promise<string | undefined> {
  const version = await versionOf("go", ["version"])
  const minor = /\bgo1\.(\d+)/u.exec(version ?? "")?.[1]
  return minor !== undefined && Number(minor) >= minorMin ? version : undefined
}

export const go: Toolchain = {
  async build(project) {
    const { folder } = project
    const entry = await entryOf(project)
    if ((await findGo()) === undefined)
      throw new AuthorError("Toolchain", { language: "go", missing: `no go of version 1.${minorMin} or later is on the PATH`, install })
    const { resolve, selected } = await worldOf(project)
    const source = relative(folder, dirname(entry))
    await writeBindings(project, goBindings({ world: selected.world, name: selected.full, notes: resolve.notes }), source, "keep")
    await mkdir(join(folder, "build"), { recursive: true })
    const core = join("build", "core.wasm")
    const words = ["go", "build", "-buildmode=c-shared", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", core, source === "" ? "." : `./${source}`]
    await runProgram("go", words, folder, { env, install })
    return encodeComponent(selected.world, await readOutput(folder, core, "what go made"), { preview1: "inert" })
  },
  async needs() {
    return [{ what: `go 1.${minorMin}`, found: await findGo(), install }]
  },
}
