/** TypeScript → component, in the compilers' thread: rolldown bundles, QuickJS is carried along. */
import { positionAt } from "../../../schemas/value/excerpt.ts"
import { told } from "./assemblyscript-job.ts"
import { hideExports } from "./hide-export.ts"
import { openStandIn } from "./stand-in.ts"

export interface TypeScriptJob {
  readonly language: "typescript"
  /** Absolute path of the entry. */
  readonly entry: string
  /** Absolute path of the WIT, a file or folder. */
  readonly wit: string
  readonly world: string
  /** Names of what the world exports itself. */
  readonly exports: ReadonlyArray<string>
  /** Tells tests where they stand: absolute paths of files and what they are called, whose calls of `test`, `expect` and `fail` get their place as a last argument. */
  readonly placed?: Readonly<Record<string, string>>
  /** Addresses of the project's own tools. */
  readonly rolldown: string
  readonly componentize: string
}

/** What of the tools is used; they are the project's, so that their types are not ours to import. */
interface Rolldown {
  build(options: object): Promise<{ readonly output: ReadonlyArray<{ readonly code?: string }> }>
}
interface Componentize {
  componentize(options: object): Promise<{ readonly component: Uint8Array }>
}

interface ParsedNode {
  readonly type: string
  readonly start: number
  readonly end: number
  readonly callee?: { readonly type: string; readonly name?: string }
  readonly arguments?: ReadonlyArray<object>
}

/** Adds to each call of `test`, `expect` and `fail` in these files where it stands. */
function placeCalls(placed: Readonly<Record<string, string>>): object {
  return {
    name: "stele-places",
    transform(this: { parse(code: string, options: object): unknown }, code: string, id: string): string | undefined {
      const name = placed[id]
      if (name === undefined) return undefined
      const found: Array<ParsedNode> = []
      const todo: Array<unknown> = [this.parse(code, { lang: "ts" })]
      for (let node = todo.pop(); node !== undefined; node = todo.pop()) {
        if (typeof node !== "object" || node === null) continue
        const parsed = node as ParsedNode
        if (parsed.type === "CallExpression" && parsed.callee?.type === "Identifier" && told.has(parsed.callee.name ?? "")) found.push(parsed)
        todo.push(...Object.values(node))
      }
      let out = code
      // From the end, so that places before it stay.
      for (const { arguments: given = [], end, start } of found.toSorted((a, b) => b.end - a.end)) {
        const { line, column } = positionAt(code, start)
        const comma = given.length === 0 || /,\s*\)$/u.test(code.slice(start, end)) ? "" : ", "
        out = `${out.slice(0, end - 1)}${comma}${JSON.stringify(`${name}:${line}:${column}`)}${out.slice(end - 1)}`
      }
      return out
    },
  }
}

/** What QuickJS is started with before the component is finished, and nobody calls afterwards. */
const started = "init"

export async function compileTypeScript(job: TypeScriptJob): Promise<Uint8Array> {
  const { build } = (await import(job.rolldown)) as Rolldown
  const bundled = await build({
    input: job.entry,
    // Names of WIT interfaces are the world's to meet: `wasi:logging/logging@0.1.0-draft`.
    external: /^[a-z][a-z0-9-]*:[a-z]/,
    platform: "neutral",
    write: false,
    logLevel: "silent",
    ...(job.placed === undefined ? {} : { plugins: [placeCalls(job.placed)] }),
    output: { format: "esm" },
  })
  const [{ code = "" } = {}] = bundled.output
  await using standIn = await openStandIn(job.wit)
  const { componentize } = ((await import(job.componentize)) as { readonly default: Componentize }).default
  const { component } = await componentize({
    witPath: standIn.wit,
    world: standIn.called(job.world),
    jsSource: code.replaceAll('from "wasi:', `from "${standIn.word}:`),
    sync: true,
    stubWasi: true,
    optSize: true,
  })
  return hideExports(standIn.restored(new Uint8Array(component)), new Set(job.exports.includes(started) ? [] : [started]))
}
