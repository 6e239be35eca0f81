/** WIT packages that others have written, as jco ships them, and the proposals and packages kept in `schemas/wit`: each with the packages that it needs. */
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import type { WitInput, WitSource } from "../../schemas/wit/parse/mod.ts"

const shipped = fileURLToPath(new URL("../node_modules/@bytecodealliance/", import.meta.url))
const builtin = join(shipped, "jco/lib/wit/builtin")

const sources = (folder: string): ReadonlyArray<WitSource> =>
  readdirSync(folder)
    .filter((name) => name.endsWith(".wit"))
    .sort()
    .map((name) => ({ file: `${folder.slice(shipped.length)}/${name}`, text: readFileSync(join(folder, name), "utf8") }))

const beside = (version: string): ReadonlyArray<string> => readdirSync(join(builtin, version)).map((name) => join(builtin, version, name))

/** By name; the key says where it is from. */
export function shippedPackages(): ReadonlyMap<string, WitInput> {
  const packages = new Map<string, WitInput>()
  for (const version of ["0.2.10", "0.2.12", "0.3.0"]) {
    const folders = beside(version)
    for (const folder of folders)
      packages.set(folder.slice(builtin.length + 1), { main: sources(folder), deps: folders.filter((other) => other !== folder).map(sources) })
  }
  const tls = join(builtin, "wasi-tls-0.2.0-draft")
  const io = sources(join(tls, "deps/io"))
  packages.set("wasi-tls", { main: sources(tls), deps: [io] })
  for (const folder of ["jco/lib/wit/builtin/jco-node-0.1.0", "jco-std/wit/node-0.1.0"]) {
    packages.set(folder, { main: sources(join(shipped, folder)), deps: [sources(tls), io] })
  }
  for (const folder of ["wasi", "stele"]) {
    const kept = fileURLToPath(new URL(`../../schemas/wit/${folder}/`, import.meta.url))
    for (const name of readdirSync(kept).filter((each) => each.endsWith(".wit"))) {
      const file = `schemas/wit/${folder}/${name}`
      packages.set(file, { main: [{ file, text: readFileSync(join(kept, name), "utf8") }], deps: beside("0.2.12").map(sources) })
    }
  }
  return packages
}
