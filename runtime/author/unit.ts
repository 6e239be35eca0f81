/** Runs the tests of `*.test.ts`: each a call in a host of its own, with the grants, limits and metering of the manifest and a world of fakes. */
import { Host } from "../../host/host.ts"
import { escapeText } from "../../host/port/log.ts"
import type { Plugin } from "../../host/plugin.ts"
import { AuthorError } from "../../schemas/error/author.ts"
import { SteleError } from "../../schemas/error/family.ts"
import { PluginError } from "../../schemas/error/plugin.ts"
import { fakeWorld, tenant } from "./fakes.ts"
import { toolchainOf } from "./language/mod.ts"
import { casesInterface, reportInterface, unitFiles } from "./language/unit.ts"
import { loadOptionsOf, type Project } from "./project.ts"
import { logLines, type Outcome } from "./test.ts"
import type { Tools } from "./tools.ts"

/** Tests of one component. */
export const unitTestsMax = 10_000
/** Reports of one test that are told. */
const reportsMax = 20

/** A test of `*.test.ts`. */
export interface Unit {
  readonly index: number
  readonly name: string
  readonly file: string
  readonly line: number
}

/** The component of the project's tests; undefined where it has none, or its language has no such tests. */
export async function buildUnits(project: Project, tools: Tools): Promise<Uint8Array | undefined> {
  const { buildUnits: make } = await toolchainOf(project.manifest.build === undefined ? project.manifest.language : "other")
  if (make === undefined) return undefined
  const files = await unitFiles(project)
  return files.length === 0 ? undefined : make(project, tools, files)
}

interface Report {
  readonly at: string
  readonly message: string
}

async function open<A>(
  component: Uint8Array,
  { located, manifest }: Project,
  work: (plugin: Plugin, reports: Array<Report>, log: () => ReadonlyArray<string>) => Promise<A>,
): Promise<A> {
  const world = await fakeWorld({}, located, [])
  const reports: Array<Report> = []
  await using host = await Host.open({ ports: world.ports })
  const failed = (at: string, message: string): void => void (reports.length < reportsMax && reports.push({ at, message }))
  const plugin: Plugin = await host.load(component, { ...loadOptionsOf(manifest), tenant, imports: { [reportInterface]: { failed } } })
  return await work(plugin, reports, () => logLines(world))
}

const call = (plugin: Plugin, name: string, ...args: ReadonlyArray<unknown>): Promise<unknown> => plugin.call(`${casesInterface}#${name}`, args)

/** `tests/a.test.ts:3:1` in its parts. */
function placeOf(at: string): { readonly file: string; readonly line: number } {
  const [, file = at, line = "1"] = /^(.*?):(\d+)(?::\d+)?$/u.exec(at) ?? []
  return { file, line: Number(line) }
}

/** The tests that the component registers. @throws AuthorError `Units` where that fails */
export async function readUnits(component: Uint8Array, project: Project): Promise<ReadonlyArray<Unit>> {
  return open(component, project, async (plugin, reports) => {
    try {
      const count = Number(await call(plugin, "count"))
      if (count > unitTestsMax)
        throw new AuthorError("Units", {
          detail: `there are ${count} tests, and at most ${unitTestsMax} are run`,
          advice: "put several expectations into a test",
        })
      const units: Array<Unit> = []
      for (let index = 0; index < count; index++)
        units.push({ index, name: String(await call(plugin, "name", index)), ...placeOf(String(await call(plugin, "place", index))) })
      return units
    } catch (error) {
      if (!(error instanceof SteleError) || error instanceof AuthorError) throw error
      const [first] = reports
      throw new AuthorError(
        "Units",
        {
          detail: escapeText(first === undefined ? `${error.code}: ${error.message}` : `${first.at} ${first.message}`),
          advice: "what stands outside of test(…) in those files runs first, and must end",
        },
        { cause: error },
      )
    }
  })
}

/** What ended a test that reported nothing. */
function ended(error: SteleError): string {
  const frames = error instanceof PluginError && error.reason._tag === "Trap" ? error.reason.frames.slice(0, 5) : []
  return `${error.code}: ${error.message}${frames.length === 0 ? "" : ` (${frames.join(" < ")})`}`
}

/** Runs one of them. Never throws for what it does. */
export async function runUnit(component: Uint8Array, project: Project, { file, index, line, name }: Unit): Promise<Outcome> {
  return open(component, project, async (plugin, reports, log) => {
    const fault = await call(plugin, "run", index).then(
      () => undefined,
      (error: unknown) => {
        if (error instanceof SteleError) return error
        throw error
      },
    )
    const problems = reports.length === 0 && fault !== undefined ? [ended(fault)] : reports.map(({ at, message }) => `${at === "" ? "" : `${at} `}${message}`)
    return { file, name, line, passed: problems.length === 0, problems: problems.map(escapeText), usage: undefined, log: log() }
  })
}

/** All of a project's tests of `*.test.ts`, built and read. */
export interface Units {
  readonly component: Uint8Array | undefined
  readonly units: ReadonlyArray<Unit>
}

/** Builds and reads them; `isMeant` says which. */
export async function openUnits(project: Project, tools: Tools, isMeant: (unit: Unit) => boolean = () => true): Promise<Units> {
  const component = await buildUnits(project, tools)
  return { component, units: component === undefined ? [] : (await readUnits(component, project)).filter(isMeant) }
}

/** Runs them, one after the other. */
export async function* runUnits(project: Project, { component, units }: Units): AsyncGenerator<Outcome> {
  if (component !== undefined) for (const unit of units) yield await runUnit(component, project, unit)
}
