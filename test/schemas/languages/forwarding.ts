/**
 * Worlds of random types whose plugin hands every call on: an export gives its arguments to the import of the same name, and
 * answers what that answered. So each value is lifted and lowered in both directions, and the source needs no values.
 */
import { Host } from "../../../host/mod.ts"
import { PluginError } from "../../../schemas/error/plugin.ts"
import { Chooser, randomValue } from "../../../runtime/author/random-value.ts"
import { pascal, snake } from "../../../schemas/generate/file.ts"
import type { ExternType, FunctionType } from "../../../schemas/wit/model.ts"
import { parseWit, selectWorld } from "../../../schemas/wit/parse/mod.ts"
import { keywords } from "../../../schemas/wit/print.ts"
import { sameValue } from "../arbitrary-type.ts"
import { randomWorld } from "../random-world.ts"

export interface Forwarding {
  readonly wit: string
  /** The world's full name. */
  readonly world: string
  readonly hostName: string
  readonly apiName: string
  readonly functions: ReadonlyArray<readonly [label: string, type: FunctionType, params: ReadonlyArray<string>, result: string | undefined]>
}

const identifier = (label: string): string => (keywords.has(label) ? `%${label}` : label)
const escaped = (full: string): string => full.replaceAll(/[A-Za-z][\w-]*(?=[:/@]|$)/g, (word) => identifier(word))
const primitives = "bool s8 u8 s16 u16 s32 u32 s64 u64 f32 f64 char string".split(" ")

/** Named types of a random world, and types made of them, each with a function that takes and gives it. */
export function forwarding(seed: number): Forwarding {
  const choose = new Chooser(seed)
  const base = randomWorld(seed, { resources: false, size: 5, levels: 3, flagsMax: 70 })
  const types: Array<string> = []
  const lines: Array<string> = []
  const add = (line: (name: string) => string): void => {
    const name = `t${types.length}-x`
    lines.push(line(name))
    types.push(name)
  }
  for (const { interfaces } of parseWit(base.text).packages.values())
    for (const { full, type } of interfaces.values())
      for (const [label, extern] of type.exports)
        if (extern.kind === "type" && types.length < 12) add((name) => `use ${escaped(full)}.{${identifier(label)} as ${name}};`)
  for (const one of primitives) add((name) => `type ${name} = ${one};`)
  const some = (): string => choose.of(types)
  for (let i = 0; i < 10; i++)
    add((name) =>
      choose.of([
        () => `type ${name} = list<${some()}>;`,
        () => `type ${name} = option<${some()}>;`,
        () => `type ${name} = tuple<${some()}, ${some()}, ${some()}>;`,
        () => `type ${name} = result<${some()}, ${some()}>;`,
        () => `record ${name} { a-b: ${some()}, c: ${some()} }`,
        () => `variant ${name} { a(${some()}), b, c-d(${some()}) }`,
      ])(),
    )
  const functions = types.map((result, i): string => {
    const params = Array.from({ length: i % 7 === 6 ? 18 : choose.below(4) }, (_, at) => `p${at}: ${some()}`)
    return `fn${i}: func(${[`own-x: ${result}`, ...params].join(", ")})${choose.once(8) ? "" : ` -> ${choose.once(2) ? result : some()}`};`
  })
  const body = [`use zz-types.{${types.join(", ")}};`, ...functions].join("\n  ")
  const own = `interface zz-types {\n  ${lines.join("\n  ")}\n}\ninterface zz-host {\n  ${body}\n}\ninterface zz-api {\n  ${body}\n}\nworld zz { import zz-host; export zz-api; }\n`
  // What other packages are written in the same file comes after the main one's items.
  const wit = base.text.replace(/^package [^;]+;\n/, (line) => `${line}\n${own}`)
  const { full, world } = selectWorld(parseWit(wit), "zz")
  const [, version = ""] = full.split("@")
  const nameOf = (label: string): string => `gen:main/${label}@${version}`
  const api = world.exports.get(nameOf("zz-api")) as Extract<ExternType, { kind: "interface" }>
  const texts = new Map(functions.map((text) => [text.slice(0, text.indexOf(":")), text]))
  return {
    wit,
    world: full,
    hostName: nameOf("zz-host"),
    apiName: nameOf("zz-api"),
    functions: [...api.exports].flatMap(([label, extern]) => {
      const text = texts.get(label)
      if (extern.kind !== "function" || text === undefined) return []
      const params = [...text.matchAll(/: (t\d+-x)/g)].map(([, name]) => name as string)
      return [[label, extern, params, /-> (t\d+-x)/.exec(text)?.[1]] as const]
    }),
  }
}

/** The plugin's source. */
export const sources: Readonly<Record<"c" | "rust" | "go", (of: Forwarding) => string>> = {
  c: ({ functions }) =>
    `#include "plugin.h"\n${functions
      .map(([label, , params, result]) => {
        const type = (name: string): string => `zz_types_${snake(name)}`
        const shown = params.map((name, i) => `${type(name)} a${i}`).join(", ")
        const call = `zz_host_${snake(label)}(${params.map((_, i) => `a${i}`).join(", ")})`
        return `${result === undefined ? "void" : type(result)} zz_api_${snake(label)}(${shown}) { ${result === undefined ? "" : "return "}${call}; }`
      })
      .join("\n")}\n`,
  go: ({ functions }) =>
    `package main\n\nfunc main() {}\n\n${functions
      .map(([label, , params, result]) => {
        const type = (name: string): string => `ZzTypes${pascal(name)}`
        const shown = params.map((name, i) => `a${i} ${type(name)}`).join(", ")
        const call = `ZzHost${pascal(label)}(${params.map((_, i) => `a${i}`).join(", ")})`
        return `func ZzApi${pascal(label)}(${shown})${result === undefined ? "" : ` ${type(result)}`} { ${result === undefined ? "" : "return "}${call} }`
      })
      .join("\n")}\n`,
  rust: ({ functions }) =>
    `#![allow(clippy::all)]\nmod bindings;\nuse bindings::{zz_host, zz_types::*};\n${functions
      .map(([label, { params: types }, params, result]) => {
        const shown = params.map((name, i) => `a${i}: ${pascal(name)}`).join(", ")
        const args = types.map(({ type }, i) => (["string", "list", "record", "variant", "tuple", "option", "result"].includes(type.kind) ? `&a${i}` : `a${i}`))
        const head = `pub fn ${snake(label)}(${shown})${result === undefined ? "" : ` -> ${pascal(result)}`}`
        return `${head} { zz_host::${snake(label)}(${args.join(", ")}) }`
      })
      .join("\n")}\n`,
}

/** What is wrong with a component that should hand every call on. */
export async function forwards(of: Forwarding, component: Uint8Array, seed: number, rounds: number): Promise<ReadonlyArray<string>> {
  const choose = new Chooser(seed)
  let expected: { readonly label: string; readonly args: ReadonlyArray<unknown>; readonly answer: unknown } | undefined
  const problems: Array<string> = []
  const given = Object.fromEntries(
    of.functions.map(([label]) => [
      label,
      (...args: ReadonlyArray<unknown>): unknown => {
        if (label !== expected?.label) problems.push(`${label} was called for ${expected?.label}`)
        for (const [i, arg] of args.entries()) if (!sameValue(arg, expected?.args[i])) problems.push(`${label}: the import was given another argument ${i}`)
        return expected?.answer
      },
    ]),
  )
  await using host = await Host.open({ cache: false })
  const plugin = await host.load(component, { metering: "off", instances: { reuse: "principal" }, imports: { [of.hostName]: given } as never })
  for (let round = 0; round < rounds; round++) {
    for (const [label, type] of of.functions) {
      const answer = type.result === undefined ? undefined : randomValue(type.result, choose, round)
      const args = type.params.map((param) => randomValue(param.type, choose, round))
      expected = { label, args, answer }
      const made = (tag: "ok" | "err", val: unknown): unknown => (type.result?.kind === "result" && type.result[tag] === undefined ? { tag } : { tag, val })
      try {
        const result = await plugin.call(`${of.apiName}#${label}`, args)
        if (!sameValue(type.result?.kind === "result" ? made("ok", result) : result, answer)) problems.push(`${label}: the export gave another answer`)
      } catch (error) {
        if (!(error instanceof PluginError && error.reason._tag === "Guest")) problems.push(`${label}: ${String(error)}`)
        else if (!sameValue(made("err", error.reason.payload), answer)) problems.push(`${label}: the export gave another error`)
      }
      if (problems.length > 3) return problems
    }
  }
  return problems
}
