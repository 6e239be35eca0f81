/** Builds a project's component: by its language's tools, or by the command that its manifest names. */
import { mkdir, rename, writeFile } from "node:fs/promises"
import { dirname } from "node:path"
import { toolchainOf } from "./language/mod.ts"
import type { Project } from "./project.ts"
import type { Tools } from "./tools.ts"

/** The bytes of the project's component, written to `project.component` as well: whole or not at all. `finish` is done to them before. */
export async function build(project: Project, tools: Tools, finish = (bytes: Uint8Array): Uint8Array => bytes): Promise<Uint8Array> {
  const { manifest, component } = project
  const toolchain = await toolchainOf(manifest.build === undefined ? manifest.language : "other")
  const bytes = finish(await toolchain.build(project, tools))
  await mkdir(dirname(component), { recursive: true })
  const temporary = `${component}.${process.pid}`
  await writeFile(temporary, bytes)
  await rename(temporary, component)
  return bytes
}
