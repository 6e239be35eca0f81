/** Rust: bindings from the world, rustc with a standard library for wasm32, or cargo where there are dependencies; an encoder of ours. */
import { mkdir, readFile } from "node:fs/promises"
import { join, relative } from "node:path"
import { encodeComponent } from "../../../schemas/encode/mod.ts"
import { AuthorError } from "../../../schemas/error/author.ts"
import { rustBindings } from "../../../schemas/generate/rust/mod.ts"
import { entryOf, exists } from "../project.ts"
import { worldOf, writeBindings } from "./bindings.ts"
import type { Toolchain } from "./mod.ts"
import { readOutput, runProgram, versionOf } from "./other.ts"

const install = "rustup target add wasm32-unknown-unknown, or on Debian: apt-get install rustc cargo libstd-rust-dev-wasm32"
const wasm = "wasm32-unknown-unknown"
/** A rustc of rustup on the PATH may have no library for wasm32 while that of the system has. */
const candidates = ["rustc", "/usr/bin/rustc"]
const flags = `--edition 2021 --crate-type cdylib --target ${wasm} -C opt-level=s -C lto -C panic=abort -C strip=symbols`.split(" ")

/** The first rustc that has the target, and whether there is any. */
async function findRustc(): Promise<{ readonly rustc: string | undefined; readonly any: boolean }> {
  let any = false
  for (const rustc of candidates) {
    const place = await versionOf(rustc, ["--print", "target-libdir", "--target", wasm])
    if (place === undefined) continue
    any = true
    if (await exists(place)) return { rustc, any }
  }
  return { rustc: undefined, any }
}

/** Has the manifest of cargo dependencies? */
const hasDependencies = (manifest: string): boolean => /^\[dependencies\]\s*\n\s*[\w"-]|^\[dependencies\./mu.test(manifest.replaceAll(/^\s*#.*\n/gmu, ""))

export const rust: Toolchain = {
  async build(project) {
    const { folder, manifest } = project
    const entry = await entryOf(project)
    const { any, rustc } = await findRustc()
    if (rustc === undefined)
      throw new AuthorError("Toolchain", { language: "rust", missing: any ? `rustc has no standard library for ${wasm}` : "rustc is not on the PATH", install })
    const { resolve, selected } = await worldOf(project)
    await writeBindings(project, rustBindings({ world: selected.world, name: selected.full, notes: resolve.notes }), "src/bindings")
    await mkdir(join(folder, "build"), { recursive: true })
    const cargo = await readFile(join(folder, "Cargo.toml"), "utf8").catch(() => "")
    let core = join("build", "core.wasm")
    if (hasDependencies(cargo)) {
      const env = { RUSTC: rustc }
      // Of one age with its rustc: a newer cargo asks the older what it does not know.
      const program = rustc.replace(/rustc$/u, "cargo")
      await runProgram("rust", [program, "build", "--quiet", "--release", "--target", wasm, "--target-dir", join("build", "cargo")], folder, { env, install })
      const crate = (/^\s*name\s*=\s*"([^"]+)"/mu.exec(cargo)?.[1] ?? manifest.name).replaceAll("-", "_")
      core = join("build", "cargo", wasm, "release", `${crate}.wasm`)
    } else
      await runProgram("rust", [rustc, ...flags, "--crate-name", manifest.name.replaceAll("-", "_"), relative(folder, entry), "-o", core], folder, { install })
    return encodeComponent(selected.world, await readOutput(folder, core, "what rustc made"))
  },
  async needs() {
    const { rustc } = await findRustc()
    return [{ what: `rustc for ${wasm}`, found: rustc === undefined ? undefined : await versionOf(rustc, ["--version"]), install }]
  },
}
