/** `stele types FILE`: the types of a component, or of a world of WIT, in the form that somebody else reads. */
import { createHash } from "node:crypto"
import { stat, writeFile } from "node:fs/promises"
import { basename } from "node:path"
import { ConfigError } from "../../schemas/error/config.ts"
import { quote } from "../../schemas/value/form.ts"
import { effectModule } from "../../schemas/generate/effect.ts"
import { gtypesOf, gtypesText } from "../../schemas/generate/gtypes.ts"
import { markdownOf } from "../../schemas/generate/markdown.ts"
import { type FunctionJsonSchema, functionJsonSchema } from "../../schemas/wit/json-schema.ts"
import type { ExternType, FunctionType, World } from "../../schemas/wit/model.ts"
import { parseWit, type Resolve, selectWorld } from "../../schemas/wit/parse/mod.ts"
import { declarations } from "../../schemas/wit/typescript.ts"
import { readWit } from "../wit/read.ts"
import { refusedWrite } from "./argument.ts"
import { nameOf } from "./call.ts"
import { look } from "./inspect.ts"
import { printLine } from "./terminal.ts"

export interface TypesFlags {
  readonly file: string
  readonly limit: ReadonlyArray<string>
  readonly as?: string | undefined
  readonly world?: string | undefined
  readonly output?: string | undefined
  readonly dryRun: boolean
  readonly json: boolean
}

interface Seen {
  readonly world: World
  readonly name: string
  /** What the written text names as the file it was made from. */
  readonly file: string
  readonly resolve?: Resolve
}

function* functions(world: World): Generator<readonly [name: string, type: FunctionType]> {
  const inside = function* (name: string, extern: ExternType): Generator<readonly [string, FunctionType]> {
    if (extern.kind === "function") yield [name, extern]
    if (extern.kind === "interface") for (const [label, inner] of extern.exports) yield* inside(`${name}#${label}`, inner)
  }
  for (const [name, extern] of world.exports) yield* inside(name, extern)
}

const pretty = (value: unknown): string => `${JSON.stringify(value, undefined, 2)}\n`

const forms: Readonly<Record<string, (seen: Seen) => string>> = {
  typescript: ({ world, file }) => declarations(world, `Do not edit: written by \`stele types ${file}\``),
  effect: ({ world, file }) => effectModule({ world, header: `\`stele types ${file} --as effect\`` }),
  "json-schema": ({ world }) =>
    pretty(Object.fromEntries([...functions(world)].map(([name, type]): [string, FunctionJsonSchema] => [name, functionJsonSchema(type)]))),
  gtypes({ world }) {
    const types = gtypesOf(world)
    return pretty({ ...types, metadata: { hash: `sha256:${createHash("sha256").update(gtypesText(types)).digest("hex")}` } })
  },
  markdown: markdownOf,
}

/** A world of text, where the path is a folder or ends in .wit; else the component's own. */
async function worldOf(flags: TypesFlags): Promise<Seen> {
  const { file, world } = flags
  const isText =
    file.endsWith(".wit") ||
    (await stat(file).then(
      (found) => found.isDirectory(),
      () => false,
    ))
  if (!isText) return look(flags, (plugin) => ({ world: plugin.describe().world, name: nameOf(file), file: `${nameOf(file)}.wasm` }))
  const resolve = parseWit(await readWit(file))
  const selected = selectWorld(resolve, world)
  return { world: selected.world, name: selected.full, file: basename(file), resolve }
}

/** Declarations that make `host.load<Exports>(…)` typed, or another form; to stdout, or to the file of `-o`. */
export async function types(flags: TypesFlags): Promise<void> {
  const { as = "typescript", json, output } = flags
  const write = forms[as]
  if (write === undefined) throw new ConfigError("Option", { option: "--as", expected: Object.keys(forms).join(", "), actual: quote(as) })
  const seen = await worldOf(flags)
  const text = write(seen)
  if (output === undefined || flags.dryRun) {
    if (json)
      return printLine(JSON.stringify(as === "typescript" ? { declarations: text } : as === "markdown" || as === "effect" ? { [as]: text } : JSON.parse(text)))
    return void process.stdout.write(text.endsWith("\n") ? text : `${text}\n`)
  }
  try {
    await writeFile(output, text)
  } catch (cause) {
    throw refusedWrite(output, cause)
  }
  if (json) printLine(JSON.stringify({ written: output }))
}
