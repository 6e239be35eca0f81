/**
 * Bindings for AssemblyScript of random worlds: generated, compiled with a plugin that a program wrote, made a component by
 * our encoder, loaded, and called with random values in all directions. Then wit-component makes a component of the same
 * core module, and jco plays ours with the same values. Under other seeds than 1 jco departs in ways
 * that nobody has named yet. @long
 */
import t from "tap"
import { Host, type Plugin } from "../../host/mod.ts"
import { encodeComponent } from "../../schemas/encode/mod.ts"
import { ConfigError } from "../../schemas/error/config.ts"
import { GenerateError } from "../../schemas/error/generate.ts"
import { PluginError } from "../../schemas/error/plugin.ts"
import { assemblyScriptBindings } from "../../schemas/generate/assemblyscript/mod.ts"
import { gtypesOf, gtypesText } from "../../schemas/generate/gtypes.ts"
import type { FunctionType, World } from "../../schemas/wit/model.ts"
import { compileBindings } from "./assemblyscript/build.ts"
import { Jco } from "./assemblyscript/jco.ts"
import { choosers, Given, plannedWorld, type Player, Run } from "./assemblyscript/play.ts"
import { decode, worldDifference } from "./component-difference.ts"
import { replay, replayOne, runsOf, seed } from "../seed.ts"

const count = runsOf(16, 320)
t.setTimeout(1_800_000)

class HostPlayer implements Player {
  readonly #plugin: Plugin
  constructor(plugin: Plugin) {
    this.#plugin = plugin
  }
  async call(name: string, type: FunctionType, args: ReadonlyArray<unknown>): Promise<unknown> {
    const made = (tag: "ok" | "err", val: unknown): unknown => (type.result?.kind === "result" && type.result[tag] === undefined ? { tag } : { tag, val })
    try {
      const { result, usage } = await this.#plugin.callWithUsage(name, args)
      if (usage.handlesLeft !== undefined) throw new Error(`${name} left handles`)
      return type.result?.kind === "result" ? made("ok", result) : result
    } catch (error) {
      if (error instanceof PluginError && error.reason._tag === "Guest" && type.result?.kind === "result") return made("err", error.reason.payload)
      throw error
    }
  }
}

const totals = { worlds: 0, exports: 0, imports: 0, left: 0, uncalled: 0, jco: 0, gtypes: 0, excepted: {} as Record<string, number> }
/** What no function of the core module leads to is in no component, and the host takes no implementation of it. */
async function load(host: Host, component: Uint8Array, imports: Record<string, unknown>): Promise<Plugin> {
  try {
    return await host.load(component, { metering: "off", instances: { reuse: "principal" }, imports: imports as never })
  } catch (error) {
    const unused = error instanceof ConfigError && error.reason._tag === "UnknownOption" ? /^imports\["(.*)"\]$/.exec(error.reason.option)?.[1] : undefined
    if (unused === undefined) throw error
    const { [unused]: _, ...rest } = imports
    return load(host, component, rest)
  }
}

/** GTypes of a world's exports; undefined where handles are among them. */
function gtypes(world: World): string | undefined {
  try {
    return gtypesText(gtypesOf(world))
  } catch (error) {
    if (error instanceof GenerateError) return undefined
    throw error
  }
}

/** The component that wit-component makes of the same core module says the same of itself, and is loaded. */
async function compare(host: Host, ours: Uint8Array, theirs: Uint8Array): Promise<void> {
  const [a, b] = [decode(ours).world, decode(theirs).world]
  const difference = worldDifference(a, b)
  if (difference !== undefined) throw new Error(difference)
  if (gtypes(a) !== gtypes(b)) throw new Error(`GTypes ${gtypes(a)}, wit-component's ${gtypes(b)}`)
  if (gtypes(a) !== undefined) totals.gtypes++
  const plugin = await host.load(theirs, { metering: "off", missing: "trap" })
  await plugin.close()
}

async function check(host: Host, jco: Jco, seed: number): Promise<void> {
  const { options, plan, surface, wit, world } = plannedWorld(seed)
  const bindings = assemblyScriptBindings(options)
  let stage = "compile"
  try {
    const core = await compileBindings(bindings, plan.source, seed % 4 === 0 ? "-O2" : "-O0")
    stage = "encode"
    const component = encodeComponent(world, core, { encoding: "utf16" })
    stage = "load"
    const choose = choosers(seed)
    const given = new Given(surface, choose.given)
    await using plugin = await load(host, component, given.imports)
    stage = "call"
    const run = new Run(new HostPlayer(plugin), plan, given, surface, choose.calls)
    await run.twice()
    stage = "jco"
    const { exception, problem, theirs, transcript } = await jco.play({ seed, core, component })
    if (theirs !== undefined) await compare(host, component, theirs)
    if (problem !== undefined) {
      if (exception === undefined) throw new Error(`${problem.stage}: ${problem.message}`)
      totals.excepted[exception] = (totals.excepted[exception] ?? 0) + 1
    } else {
      // Texts without the U+FEFF that jco drops.
      const [ourLines, theirLines] = [run.transcript, transcript ?? []].map((lines) => lines.map((line) => line.replaceAll(/"\uFEFF+/g, '"'))) as [
        Array<string>,
        Array<string>,
      ]
      const at = ourLines.findIndex((line, i) => line !== theirLines[i])
      if (at >= 0 || ourLines.length !== theirLines.length) throw new Error(`${ourLines[at]}\n  by jco ${theirLines[at]}`)
      totals.jco++
    }
    totals.worlds++
    totals.exports += run.called.size
    totals.imports += plan.imports.length
    totals.left += plan.left
    totals.uncalled += plan.exports.length - run.called.size
    if (seed % 5 !== 0) return
    stage = "memory"
    const peak = async (): Promise<number> => (await plugin.callWithUsage("zz-told", [])).usage.memoryPeakBytes
    const rounds = async (times: number): Promise<void> => {
      for (let i = 0; i < times; i++) {
        await run.imports()
        await run.exports(false)
      }
    }
    // Values have random sizes: a page more may be what one round needed at most. What leaks goes on.
    await rounds(100)
    const before = await peak()
    await rounds(200)
    const after = await peak()
    if (after === before) return
    await rounds(1_000)
    if ((await peak()) > after) throw new Error(`memory grew from ${before} to ${after} to ${await peak()}`)
  } catch (error) {
    if (process.env["KEEP"] !== undefined) {
      const { mkdirSync, writeFileSync } = await import("node:fs")
      const folder = process.env["KEEP"]
      mkdirSync(`${folder}/bindings`, { recursive: true })
      mkdirSync(`${folder}/src`, { recursive: true })
      for (const { path, text } of bindings.files) writeFileSync(`${folder}/bindings/${path}`, text)
      writeFileSync(`${folder}/src/plugin.ts`, plan.source)
      writeFileSync(`${folder}/world.wit`, wit)
    }
    throw new Error(`${stage}: ${(error as Error).message.slice(0, 3000)}\n${(error as Error).stack?.split("\n").slice(1, 5).join("\n")}`, { cause: error })
  }
}

t.test(`${count} random worlds compile and carry every value`, async (t) => {
  t.comment(`${replay} replays`)
  await using host = await Host.open({ cache: false })
  await using jco = new Jco()
  const problems: Array<string> = []
  for (let i = 0; i < count && problems.length < 8; i++)
    await check(host, jco, seed + i).catch((error: unknown) => problems.push(`${replayOne(seed + i)}: ${(error as Error).message}`))
  for (const problem of problems) t.comment(problem)
  t.equal(problems.length, 0, "no world fails")
  t.comment(JSON.stringify(totals))
  if (count >= 10) t.ok(totals.uncalled + totals.left < (totals.exports + totals.imports) / 3, "nearly every function can be called")
  if (count >= 10) t.ok(totals.jco > totals.worlds / 2, "jco plays most of them, and gives equal answers")
})
