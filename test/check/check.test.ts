/** The checks find what they are for: each is given what it must refuse, and what it must let pass. */
import t from "tap"
import { anchors, blocks } from "./docs.ts"
import { judge } from "./imports.ts"
import { placeIn } from "./words.ts"

const problems = (file: string, source: string) => judge(file, source).problems

t.test("`judge()` refuses an import when the table does not have it", async (t) => {
  const refused: ReadonlyArray<readonly [file: string, source: string, told: RegExp]> = [
    ["schemas/wit/a.ts", 'import { x } from "../../host/mod.ts"', /this room may import schemas\//],
    ["schemas/error/a.ts", 'import * as Schema from "effect/Schema"', /may install nothing/],
    ["host/abi/a.ts", 'import * as Effect from "effect/Effect"', /may install nothing/],
    ["host/effect.ts", 'import { Effect } from "effect"', /barrel/],
    ["host/host.ts", 'import { serve } from "../runtime/serve.ts"', /this room may import/],
    ["host/host.ts", 'export * from "../test/host/wasm-builder.ts"', /nothing imports test/],
    ["host/host.ts", 'import { readFile } from "node:fs/promises"', /platforms are named under/],
    ["host/host.ts", 'const path = await import("path")', /as "node:…"/],
    ["host/host.ts", "export const name = process.title", /Cannot name "process"/],
    ["host/host.ts", "export const open = Deno.open", /Cannot name "Deno"/],
    ["host/host.ts", 'import { a } from "./options"', /with its extension/],
    ["host/host.ts", 'import type { Hono } from "hono"', /may install effect/],
    ["plugins/billing/rules.ts", 'import { x } from "../glyph/x.ts"', /this room may import/],
    ["plugins/sdk/a.as.ts", 'import { x } from "../../host/x"', /this room may import/],
    ["runtime/serve.ts", 'import { x } from "tap"', /may install effect/],
    ["test/a.test.ts", 'import fc from "fast-check"', /the run's seed/],
  ]
  for (const [file, source, told] of refused) t.match(problems(file, source).join("\n"), told, `${file}: ${source}`)
})

t.test("`judge()` lets an import pass when the table has it", async (t) => {
  const allowed: ReadonlyArray<readonly [file: string, source: string]> = [
    ["host/host.ts", 'import type { World } from "../schemas/wit/model.ts"'],
    ["host/effect.ts", 'import * as Effect from "effect/Effect"'],
    ["host/platform/node.ts", 'import { readFile } from "node:fs/promises"\nexport const title = process.title'],
    ["host/host.ts", "export const f = (x: { process: number }) => x.process"],
    ["plugins/billing/rules.ts", 'import { log } from "wasi:logging/logging"\nimport { y } from "./y.ts"'],
    ["plugins/sdk/a.as.ts", 'import { x } from "./abi.as"\n@inline export function f(): void {}'],
    ["runtime/mod.ts", 'import { Host } from "../host/host.ts"'],
    ["test/a.test.ts", 'import t from "tap"\nimport { x } from "../runtime/x.ts"'],
  ]
  for (const [file, source] of allowed) t.same(problems(file, source), [], `${file}: ${source}`)
})

t.test("`blocks()` pairs a block with its output when a text block follows directly", async (t) => {
  const fence = "```"
  const markdown = `${fence}ts run\na\n${fence}\n\n${fence}text\nb\n${fence}\nwords\n${fence}sh\nc\n${fence}\nwords\n${fence}text\nd\n${fence}\n`
  t.same(
    blocks(markdown).map(({ line, info, body, output }) => [line, info, body, output]),
    [
      [1, "ts run", "a\n", "b\n"],
      [5, "text", "b\n", undefined],
      [9, "sh", "c\n", undefined],
      [13, "text", "d\n", undefined],
    ],
  )
})

t.test("`anchors()` names headings as GitHub does when they have marks and capitals", async (t) => {
  t.same([...anchors("# What is where\n## `stele call`: run\n")], ["what-is-where", "stele-call-run"])
})

t.test("`placeIn()` finds a machine's folder when a line has one", async (t) => {
  const home = ["", "home", "ada", "stele"].join("/")
  t.equal(placeIn(`see ${home}`, []), ["", "home", "ada"].join("/"))
  t.equal(placeIn("on host builder-7", ["builder-7"]), "builder-7")
  t.equal(placeIn('import "../work/item.ts" // runtime/work/queue', []), undefined)
})
