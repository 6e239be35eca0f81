/** Runs a plugin's tests: each in a host of its own, with the grants, limits and metering of the manifest and a world of fakes. */
import { readdir } from "node:fs/promises"
import { join } from "node:path"
import { Host } from "../../host/host.ts"
import { escapeText } from "../../host/port/log.ts"
import type { UsageRecord } from "../../host/port/observer.ts"
import type { Plugin } from "../../host/plugin.ts"
import { AuthorError } from "../../schemas/error/author.ts"
import { SteleError } from "../../schemas/error/family.ts"
import { PluginError } from "../../schemas/error/plugin.ts"
import { type Case, TestFile } from "../../schemas/manifest/test.ts"
import { fromJson, type Json, toJson } from "../../schemas/value/json.ts"
import type { FunctionType, ValueType } from "../../schemas/wit/model.ts"
import { answer } from "../../schemas/wit/tree.ts"
import { findExport } from "../service/export.ts"
import { bytesOf, fakeWorld, tenant, type World } from "./fakes.ts"
import { readInputs } from "./input.ts"
import { decodeLocated, type Located, readLocated } from "./located.ts"
import { loadOptionsOf, type Project } from "./project.ts"

/** A test of a file, and where it stands there. */
export interface Test {
  readonly file: string
  readonly index: number
  readonly line: number
  readonly name: string
  readonly case: Case
  readonly located: Located
}

/** How a test went. `problems` are sentences, empty for one that passed. */
export interface Outcome {
  readonly file: string
  readonly name: string
  readonly line: number
  readonly passed: boolean
  readonly problems: ReadonlyArray<string>
  readonly usage: UsageRecord | undefined
  readonly log: ReadonlyArray<string>
}

const testsFolder = "tests"

/** The tests of a project, by file and place; there may be none. */
export async function readTests({ folder }: Project): Promise<ReadonlyArray<Test>> {
  const names = (await readdir(join(folder, testsFolder), { withFileTypes: true }).catch(() => []))
    .filter((entry) => entry.name.endsWith(".json") && !entry.isDirectory())
    .map(({ name }) => name)
    .sort()
  const tests: Array<Test> = []
  for (const name of names) {
    const file = `${testsFolder}/${name}`
    const located = await readLocated(join(folder, testsFolder, name), file, "tests")
    const { tests: cases } = decodeLocated(TestFile, located)
    for (const [index, one] of cases.entries()) {
      if (Object.hasOwn(one, "result") === Object.hasOwn(one, "error"))
        throw new AuthorError("File", {
          file,
          problems: [
            located.problem(["tests", index], "A test has a result or an error, and not both", {
              fix: 'write "result", null where the export returns nothing',
            }),
          ],
        })
      const read = async (key: "arguments" | "result" | "error"): Promise<object> =>
        Object.hasOwn(one, key)
          ? {
              [key]: await readInputs(folder, one[key], (path, message, fix): never => {
                throw new AuthorError("File", { file, problems: [located.problem(["tests", index, key, ...path], message, { fix })] })
              }),
            }
          : {}
      const values = await Promise.all([read("arguments"), read("result"), read("error")])
      tests.push({
        file,
        index,
        line: located.problem(["tests", index], "").line,
        name: one.name ?? `${one.call} ${index + 1}`,
        case: Object.assign({}, one, ...values) as Case,
        located,
      })
    }
  }
  return tests
}

const show = (json: unknown): string => {
  const text = JSON.stringify(json) ?? "nothing"
  return text.length > 500 ? `${text.slice(0, 500)}…` : text
}

/** The first place where two JSON values differ, as a sentence. */
function difference(expected: Json, actual: Json, at: string): string | undefined {
  const isObject = (value: Json): value is { readonly [key: string]: Json } => typeof value === "object" && value !== null
  if (!isObject(expected) || !isObject(actual) || Array.isArray(expected) !== Array.isArray(actual))
    return Object.is(expected, actual) ? undefined : `${at}: expected ${show(expected)}, got ${show(actual)}`
  if (Array.isArray(expected) && Array.isArray(actual) && expected.length !== actual.length)
    return `${at}: expected ${expected.length} elements, got ${actual.length}: ${show(actual)}`
  for (const key of new Set([...Object.keys(expected), ...Object.keys(actual)])) {
    const found = difference(expected[key] ?? null, actual[key] ?? null, Array.isArray(expected) ? `${at}[${key}]` : `${at}.${key}`)
    if (found !== undefined) return found
  }
  return undefined
}

/** Compares what came with what the test says, both read by the type. A value of the test that is none of the type is the test's problem. */
function compare(type: ValueType | undefined, expected: unknown, actual: unknown, at: string): string | undefined {
  if (type === undefined) return expected === null ? undefined : `${at}: the export returns nothing, so the test's must be null`
  const wanted = toJson(type, fromJson(type, expected, at), at)
  return difference(wanted, toJson(type, actual, at), at)
}

/** A test's arguments in the host form. Too many or too few are the host's to refuse. @throws WitError */
export const argumentsOf = ({ params }: FunctionType, { arguments: given = [] }: Case): ReadonlyArray<unknown> =>
  given.map((arg, at) => (params[at] === undefined ? arg : fromJson(params[at].type, arg, `arguments[${at}]`)))

type Came = { readonly tag: "result"; readonly value: unknown } | { readonly tag: "error"; readonly error: SteleError }

function judge({ call, ...test }: Case, type: { readonly ok?: ValueType | undefined; readonly err?: ValueType | undefined }, came: Came): string | undefined {
  if (came.tag === "result") {
    if (Object.hasOwn(test, "result")) return compare(type.ok, test.result, came.value, "result")
    return `${call} answered ${show(type.ok === undefined ? null : toJson(type.ok, came.value))}, and an error was expected: ${show(test.error)}`
  }
  const { error } = came
  const isGuests = error instanceof PluginError && error.reason._tag === "Guest"
  const payload = isGuests ? (error.reason as { readonly payload: unknown }).payload : undefined
  const said = isGuests ? `its own error ${show(type.err === undefined ? null : toJson(type.err, payload))}` : `${error.code}: ${error.message} (${error.fix})`
  if (!Object.hasOwn(test, "error")) return `${call} failed with ${said}`
  if (isGuests) return compare(type.err, test.error, payload, "error")
  return test.error === error.code ? undefined : `error: expected ${show(test.error)}, got ${said}`
}

function logged(expected: ReadonlyArray<string> | undefined, world: World): string | undefined {
  if (expected === undefined) return undefined
  return difference(
    [...expected],
    world.log.records.map(({ message }) => message),
    "log",
  )
}

async function left({ after }: Case, world: World): Promise<string | undefined> {
  if (after?.keyValue === undefined) return undefined
  const text = (bytes: Uint8Array): string => {
    const read = new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes)
    return read.includes("\uFFFD") ? `0x${Buffer.from(bytes).toString("hex")}` : read
  }
  const wanted = Object.fromEntries(Object.entries(after.keyValue).map(([key, value]) => [key, text(bytesOf(value))]))
  const has = Object.fromEntries([...(await world.stored())].map(([key, value]) => [key, text(value)]))
  return difference(wanted, has, "after.keyValue")
}

/** A guest's log as lines that a terminal may show. */
export const logLines = (world: World): ReadonlyArray<string> => world.log.records.map(({ level, message }) => `${level} ${escapeText(message)}`)

/** Runs one test against a component. Never throws for what the plugin does; a test that cannot be read as written is its own failure. */
export async function runTest(component: Uint8Array, { manifest }: Project, test: Test): Promise<Outcome> {
  const { case: one, file, line, located, name } = test
  const place = ["tests", test.index]
  const problems: Array<string> = []
  const note = (problem: string | undefined): void => void (problem !== undefined && problems.push(problem))
  let world: World | undefined
  let usage: UsageRecord | undefined
  try {
    world = await fakeWorld(one.fakes ?? {}, located, [...place, "fakes"])
    await using host = await Host.open({ ports: world.ports })
    const plugin: Plugin = await host.load(component, { ...loadOptionsOf(manifest), tenant })
    const exported = findExport(plugin.describe().exports, one.call)
    const args = argumentsOf(exported.type, one)
    const type = answer(exported.type)
    // What it does after its answer is part of the test, too.
    let ended: UsageRecord | undefined
    const came: Came = await plugin.callWithUsage(exported.name, args, one.deadlineMs === undefined ? {} : { deadlineMs: one.deadlineMs }).then(
      async (answered): Promise<Came> => {
        ended = await answered.ended
        return { tag: "result", value: answered.result }
      },
      (error: unknown): Came => {
        if (error instanceof SteleError) return { tag: "error", error }
        throw error
      },
    )
    const events = world.observer.drain()
    usage = ended ?? events.flatMap((event) => (event.type === "usage" ? [event.record] : [])).at(-1)
    note(judge(one, type, came))
    if (ended?.outcome.startsWith("STELE-") === true) note(`failed after it had answered: ${ended.outcome} (stele explain ${ended.outcome} says why)`)
    note(logged(one.log, world))
    note(await left(one, world))
    for (const grant of new Set(events.flatMap((event) => (event.type === "denial" ? [event.grant] : []))))
      if (problems.length > 0)
        note(`was denied ${grant}: to ask for it, add {"grant": ${JSON.stringify(grant)}, "reason": "…"} to "capabilities" in plugin.json`)
    for (const request of world.unexpected) note(`asked for ${request}, and no answer in fakes.http is for that`)
    const held = usage?.outcome === "ok" ? (usage.handlesLeft ?? 0) : 0
    if (held > 0) note(`returned while it held ${held} handle${held === 1 ? "" : "s"} that it opened: drop() what is not needed any more`)
  } catch (error) {
    if (!(error instanceof SteleError)) throw error
    const [first] = error instanceof AuthorError && error.reason._tag === "File" ? error.reason.problems : []
    note(
      first === undefined
        ? `${error.code}: ${error.message} (${error.fix})`
        : `${first.file}:${first.line}:${first.column} ${first.message}${first.fix === undefined ? "" : ` (${first.fix})`}`,
    )
  }
  return { file, name, line, passed: problems.length === 0, problems: problems.map(escapeText), usage, log: world === undefined ? [] : logLines(world) }
}
