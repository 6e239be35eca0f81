/** `stele inspect FILE`: what a component is, asks for and offers. Nothing of it runs, and it needs no grants. */
import type { FunctionJsonSchema } from "../../schemas/wit/json-schema.ts"
import type { FunctionType } from "../../schemas/wit/model.ts"
import { functionText, shapeText, worldText } from "../../schemas/wit/print.ts"
import { answer } from "../../schemas/wit/tree.ts"
import type { LoadOptions } from "../../host/options.ts"
import type { Description, Plugin } from "../../host/plugin.ts"
import { Host } from "../mod.ts"
import { sourceOf } from "./manifest.ts"
import { nameOf } from "./call.ts"
import { bytesText, parseLimit } from "./quantity.ts"
import { at } from "./report.ts"
import { columns, out, type Palette, printLine, table, withProgress, wrap } from "./terminal.ts"

export interface InspectFlags {
  readonly file: string
  readonly limit: ReadonlyArray<string>
  readonly wit: boolean
  readonly schema: boolean
  readonly json: boolean
}

/** Loads without grants: imports that need one are linked to denials, so that any component can be looked at. */
export async function look<A>(
  { file, limit, json }: { readonly file: string; readonly limit: ReadonlyArray<string>; readonly json: boolean },
  use: (plugin: Plugin) => A | Promise<A>,
): Promise<A> {
  await using host = await Host.open()
  const options: LoadOptions = { missing: "trap", limits: Object.fromEntries(limit.map(parseLimit)) }
  return await at({ file }, async () => {
    const load = await sourceOf(file, options)
    return use(await withProgress(`Loading ${nameOf(file)}`, json, () => host.load(load.source, load.options)))
  })
}

/** What the component is made of, in the terms of its own model. */
function featuresOf(description: Description): ReadonlyArray<string> {
  const functions = description.exports.map(({ type }) => type)
  const interfaces = [...description.world.imports.values()].filter((extern) => extern.kind === "interface")
  const hasResource = [...description.world.exports.values(), ...interfaces].some(
    (extern) => extern.kind === "interface" && [...extern.exports.values()].some((inner) => inner.kind === "resource-type"),
  )
  const isExtism = description.imports.some(({ name }) => name.startsWith("extism:host/"))
  return [
    ...(isExtism ? ["Extism plugin"] : []),
    ...(description.sizes.coreModules > 1 && !isExtism ? [`${description.sizes.coreModules} core modules`] : []),
    ...(hasResource ? ["resources"] : []),
    ...(functions.some((type) => type.result?.kind === "result") ? ["typed errors"] : []),
    ...(description.imports.some(({ status, name }) => status === "inert" && name.startsWith("wasi")) ? ["inert WASI imports"] : []),
    ...(description.imports.length === 0 ? ["no imports"] : []),
  ]
}

/** What an import needs, in the words of an operator. */
function needOf({ status, grant, risk }: Description["imports"][number]): readonly [need: string, risk: string] {
  if (status === "inert") return ["nothing", "linked to what reaches nothing outside"]
  if (grant === undefined) return ["unknown", "no capability of this host serves it: calling it traps"]
  return [grant, risk ?? ""]
}

/** What `--json` prints. The schema of an export that takes or gives handles is null: they mean nothing outside their instance. */
export const descriptionJson = (file: string, description: Description, schemas: ReadonlyMap<string, FunctionJsonSchema>): Record<string, unknown> => ({
  file,
  digest: description.digest,
  tenant: description.tenant,
  wit: worldText("root", description.world),
  imports: description.imports.map(({ name, functions, status, grant, risk }) => ({
    name,
    functions,
    status,
    ...(grant === undefined ? {} : { grant }),
    ...(risk === undefined ? {} : { risk }),
  })),
  exports: description.exports.map(({ name, type }) => ({ name, type: functionText(type), schema: schemas.get(name) ?? null })),
  grants: description.grants,
  sizes: description.sizes,
  features: featuresOf(description),
  mechanisms: description.mechanisms,
  limits: description.limits,
})

/** What the named types of a function's parameters and answer are made of, once each. */
function namedTypes(type: FunctionType): ReadonlyArray<string> {
  const { ok, err } = answer(type)
  const lines = new Set<string>()
  for (const part of [...type.params.map((param) => param.type), ok, err])
    if (part?.name !== undefined) lines.add(`${part.name.name} = ${shapeText(part, 400)}`)
  return [...lines]
}

/** The overview for people. Names in it have passed the decoder's label check; they hold no control characters. */
export function overview(file: string, description: Description, colours: Palette, width: number): ReadonlyArray<string> {
  const { sizes, mechanisms, imports, exports } = description
  const { bold, dim, cyan, yellow } = colours
  const facts = [
    ["file", file],
    ["digest", description.digest],
    ["size", `${bytesText(sizes.componentBytes)}, of which core modules ${bytesText(sizes.coreBytes)}`],
    ["features", featuresOf(description).join(", ") || "none beyond plain functions"],
    ["stopped by", `${mechanisms.stop}, ${mechanisms.isolation}, instances reused: ${mechanisms.reuse}`],
  ]
  const lines = [...table(facts, Number.MAX_SAFE_INTEGER, 0, [dim]), "", bold(imports.length === 0 ? "Imports: none" : "Imports, and the grant each needs")]
  for (const item of imports) {
    const [need, risk] = needOf(item)
    const state = item.status === "granted" ? " (granted)" : ""
    lines.push(
      `  ${cyan(item.name)}`,
      `    ${item.grant === undefined ? dim(need) : yellow(need)}${state}${dim(`   ${item.functions.length} function${item.functions.length === 1 ? "" : "s"}`)}`,
    )
    lines.push(...wrap(risk, width - 4).map((line) => `    ${line}`))
  }
  lines.push("", bold(exports.length === 0 ? "Exports: none" : "Exports"))
  for (const { name, type } of exports) {
    lines.push(`  ${cyan(name)}`, ...wrap(functionText(type, 0, 400), width - 4).map((line) => `    ${line}`))
    for (const text of namedTypes(type)) lines.push(...wrap(text, width - 6).map((line) => dim(`      ${line}`)))
  }
  return lines
}

export async function inspect(flags: InspectFlags): Promise<void> {
  await look(flags, async (plugin) => {
    const description = plugin.describe()
    const schemas = await plugin.schemas()
    if (flags.json) return printLine(JSON.stringify(descriptionJson(flags.file, description, schemas)))
    if (flags.wit) return printLine(worldText("root", description.world))
    if (flags.schema) return printLine(JSON.stringify(Object.fromEntries(description.exports.map(({ name }) => [name, schemas.get(name) ?? null])), null, 2))
    for (const line of overview(flags.file, description, out, columns(process.stdout))) printLine(line)
    printLine(`\n${out.bold("World")}`)
    for (const line of worldText("root", description.world).split("\n")) printLine(line === "" ? "" : `  ${line}`)
  })
}
