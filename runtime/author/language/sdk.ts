/** The SDK's libraries as a project has them: `bindings/sdk/NAME.ts`, so that neither an editor nor a single-file program needs a package of ours. */
import { readdir, readFile } from "node:fs/promises"
import { join } from "node:path"
import type { GeneratedFile } from "../../../schemas/generate/file.ts"
import { shippedFolder } from "../../shipped.ts"

const extension = ".as.ts"
/** What plugins without generated bindings do by hand. */
const byHand: ReadonlySet<string> = new Set(["abi", "greeter", "keyvalue", "logging"])
const head = "// Copied from Stele's SDK by each build. Changes are lost."

/** A project's bindings have the class already. */
const result = `${head}\nexport { err, ok, Result } from "../runtime"\n`

/** `from "./int128.as"`, which is `int128.ts` in a project. */
const moved = (text: string): string => text.replace(/(\bfrom ")(\.\/[^"]+)\.as"/g, '$1$2"')

/** The files for AssemblyScript, by their paths in the folder of bindings. */
export async function sdkFiles(): Promise<ReadonlyArray<GeneratedFile>> {
  const folder = shippedFolder("sdk")
  const names = (await readdir(folder)).filter((file) => file.endsWith(extension)).map((file) => file.slice(0, -extension.length))
  return Promise.all(
    names
      .filter((name) => !byHand.has(name))
      .sort()
      .map(async (name) => ({
        path: `sdk/${name}.ts`,
        text: name === "result" ? result : `${head}\n${moved(await readFile(join(folder, `${name}${extension}`), "utf8"))}`,
      })),
  )
}

/** Those for TypeScript. */
export async function typeScriptSdkFiles(): Promise<ReadonlyArray<GeneratedFile>> {
  const folder = join(shippedFolder("sdk"), "typescript")
  return Promise.all(
    (await readdir(folder)).sort().map(async (name) => ({ path: `sdk/${name}`, text: `${head}\n${await readFile(join(folder, name), "utf8")}` })),
  )
}
