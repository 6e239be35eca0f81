/** `stele build-info`: what this program is, and what it was made from. */
import { platform } from "../../host/platform/mod.ts"
import { carried } from "../carried.ts"
import { bytesText } from "./quantity.ts"
import { out, printLine } from "./terminal.ts"
import { version } from "./version.ts"

export function buildInfo({ json }: { readonly json: boolean }): void {
  const held = carried()
  const engine = { name: platform.name, version: process.versions[platform.name] ?? process.version.slice(1) }
  const about = held?.info ?? { version: version(), engine, target: `${process.platform}-${process.arch}`, files: [] }
  const info = { form: held === undefined ? "package" : "binary", ...about }
  if (json) return printLine(JSON.stringify(info))
  printLine(`Stele ${info.version}, ${info.form}, on ${engine.name} ${engine.version}, ${info.target}`)
  if ("sources" in info) printLine(out.dim(`made from sources ${String(info.sources)}`))
  for (const { name, bytes, sha256 } of info.files) printLine(`  ${name}  ${bytesText(bytes)}  ${out.dim(`sha256:${sha256}`)}`)
}
