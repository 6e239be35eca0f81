/** Builds the guest of the network's tests: a StarlingMonkey component that calls `fetch` and answers fetch events. */
import { createHash } from "node:crypto"
import { existsSync } from "node:fs"
import { readFile, rename, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { wasiVersion } from "../../host/capability/io.ts"

/** The one whose handler this release of componentize-js exports. */
const version = "0.2.10"

async function nested(name: string): Promise<string> {
  const path = import.meta.resolve("@bytecodealliance/jco/component").replace(/dist\/[^/]*$/, `lib/wit/builtin/${wasiVersion}/wasi-${name}/package.wit`)
  const text = (await readFile(new URL(path), "utf8"))
    .replace(/^world [^{]*\{[^}]*\}/gm, "")
    // What is unstable one of its tools reads and another does not.
    .replace(/^ *@unstable.*\n(?: *[^;{]*;)/gm, "")
    .replaceAll(`@${wasiVersion}`, `@${version}`)
  const [header, called] = /^package ([^;@]+)(?:@[^;]+)?;$/m.exec(text) as unknown as [string, string]
  return `package ${called}@${version} {\n${text.replace(header, "")}\n}\n`
}

/** The file of the component; built once for as long as its source is the same, since that takes ten seconds. */
export async function networkGuest(): Promise<string> {
  const source = await readFile(new URL("network-guest.js", import.meta.url), "utf8")
  const tool = await readFile(new URL("../package.json", import.meta.resolve("@bytecodealliance/componentize-js")), "utf8")
  const digest = createHash("sha256")
    .update(source)
    .update(tool)
    .update(await readFile(new URL(import.meta.url)))
    .digest("hex")
    .slice(0, 16)
  const file = join(tmpdir(), `stele-network-guest-${digest}.wasm`)
  if (existsSync(file)) return file
  // Another process never finds half of it.
  const part = `${file}.${process.pid}`
  await writeFile(part, await build(source))
  await rename(part, file)
  return file
}

async function build(source: string): Promise<Uint8Array> {
  const { componentize } = await import("@bytecodealliance/componentize-js")
  const world = `package test:network;
interface guest { request: func(method: string, url: string, body: option<string>) -> string; }
world all {
  export guest;
  export wasi:http/incoming-handler@${version};
}
`
  const packages = await Promise.all(["io", "clocks", "http"].map(nested))
  const { component } = await componentize(source, world + packages.join(""), { worldName: "all" } as never)
  return new Uint8Array(component)
}
