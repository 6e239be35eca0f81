/** The example plugins. */
import { existsSync } from "node:fs"
import { readFile } from "node:fs/promises"
import { join, relative } from "node:path"
import { languageNames, type Manifest } from "../../schemas/manifest/plugin.ts"
import { fileInput, readInputs } from "../author/input.ts"
import { shippedFolder, shippedNames } from "../shipped.ts"

export interface Example {
  readonly name: string
  readonly summary: string
  readonly language: string
  /** Path of the component. */
  readonly file: string
  readonly grants: ReadonlyArray<string>
  /** The call that is shown; arguments in JSON form, texts of input files read in. */
  readonly call: { readonly export: string; readonly args: ReadonlyArray<unknown>; readonly deadlineMs?: number }
  /** The arguments in short, for people: a file stands as `@NAME`. */
  readonly words: ReadonlyArray<string>
  /** What the call is there to show. */
  readonly shows: "result" | "denied" | "stopped"
}

/** `example.json`: what is shown of a plugin, which `plugin.json` describes. An argument may stand for a file beside them. */
type Shown = Pick<Example, "grants" | "call" | "shows">

const parsed = async <A>(file: string): Promise<A> => JSON.parse(await readFile(file, "utf8")) as A

/** As a person in this folder would write it. */
function shortest(path: string): string {
  const short = relative(process.cwd(), path)
  return short.startsWith("..") ? path : short
}

async function read(folder: string): Promise<Example> {
  const { call, grants, shows } = await parsed<Shown>(join(folder, "example.json"))
  const { name, description, language } = await parsed<Manifest>(join(folder, "plugin.json"))
  const files = [`${name}.wasm`, join("build", `${name}.wasm`)].map((file) => join(folder, file))
  const args = await readInputs(folder, call.args, (_, problem): never => {
    throw new Error(problem)
  })
  return {
    name,
    summary: description,
    language: languageNames[language],
    // A missing component is the load's error to report, under the path where it belongs.
    file: shortest(files.find((file) => existsSync(file)) ?? (files[0] as string)),
    grants,
    call: { ...call, args: args as ReadonlyArray<unknown> },
    words: call.args.map((arg) => {
      const file = fileInput(arg)?.file
      return file === undefined ? JSON.stringify(arg) : `@${file}`
    }),
    shows,
  }
}

const order: ReadonlyArray<Example["shows"]> = ["result", "denied", "stopped"]

/** All examples: those that answer, then the one that is denied, then the one that is stopped. */
export async function examples(): Promise<ReadonlyArray<Example>> {
  const folder = shippedFolder("examples")
  const names = await shippedNames("examples")
  const found = await Promise.all(names.filter((name) => existsSync(join(folder, name, "example.json"))).map((name) => read(join(folder, name))))
  return found.toSorted((a, b) => order.indexOf(a.shows) - order.indexOf(b.shows) || (a.name < b.name ? -1 : 1))
}
