/** The verdicts on a plugin: what a careful reader asks before it is installed, answered by running it. */
import { readFile, stat } from "node:fs/promises"
import { join } from "node:path"
import { gzipSync } from "node:zlib"
import { parseGrant } from "../../host/capability/grant.ts"
import type { Description } from "../../host/plugin.ts"
import { CapabilityError } from "../../schemas/error/capability.ts"
import { SteleError } from "../../schemas/error/family.ts"
import { anywhere } from "../../schemas/wit/tree.ts"
import { bytesText, countText, timeText } from "../cli/quantity.ts"
import { loadTime } from "./bench.ts"
import { describe } from "./description.ts"
import { fuzz } from "./fuzz.ts"
import { isLabelled } from "./label.ts"
import { fileBytesMax } from "./located.ts"
import { instrumentation } from "./instrumentation.ts"
import { licenseProblem } from "./license.ts"
import { loadOptionsOf, type Project } from "./project.ts"
import { type Outcome, runTest, type Test } from "./test.ts"
import { runUnits, type Units } from "./unit.ts"

export interface Verdict {
  readonly about: string
  /** `warn`: to be known, and no reason to refuse. */
  readonly verdict: "pass" | "warn" | "fail"
  readonly reason: string
  readonly fix?: string
}

/** Bytes of a component above which its size is mentioned, and of what a README must have to be one. */
const sizeWarnBytes = 2 << 20
const readmeCharsMin = 200
/** How long loads are timed, ms. */
const loadsMs = 300
/** How long calls that nobody wrote down are made, ms. */
export const hostileMs = 2_000

const pass = (about: string, reason: string): Verdict => ({ about, verdict: "pass", reason })
const warn = (about: string, reason: string, fix: string): Verdict => ({ about, verdict: "warn", reason, fix })
const fail = (about: string, reason: string, fix: string): Verdict => ({ about, verdict: "fail", reason, fix })

const plural = (n: number, thing: string): string => `${countText(n)} ${thing}${n === 1 ? "" : "s"}`

export interface CheckInput {
  readonly project: Project
  readonly component: Uint8Array
  readonly tests: ReadonlyArray<Test>
  readonly units: Units
  /** Seed of the calls that nobody wrote down. */
  readonly seed: number
}

export interface Checked {
  readonly verdicts: ReadonlyArray<Verdict>
  readonly asked: ReadonlyArray<string>
  /** Grants that some test's call used. */
  readonly used: ReadonlyArray<string>
}

/** Runs everything and judges it. Never throws for what the plugin is or does. */
export async function check({ project, component, tests, units, seed }: CheckInput): Promise<Checked> {
  const verdicts: Array<Verdict> = [pass("manifest", "every field is as it must be, every grant is one")]
  const asked = (project.manifest.capabilities ?? []).map(({ grant }) => grant)
  const description = await describe(project, component).catch((error: unknown): SteleError => {
    if (error instanceof SteleError) return error
    throw error
  })
  if (description instanceof SteleError) {
    verdicts.push(refused(description), ...(await paper(project, component)))
    return { verdicts, asked, used: [] }
  }
  if (isLabelled(component)) verdicts.push(fail("build", "it was made by stele dev", "stele build"))
  verdicts.push(
    pass(
      "abi",
      `the host loads it: ${plural(description.exports.length, "function")}, ${plural(description.sizes.coreModules, "core module")}, in ${timeText((await loadTime({ project, component, timeMs: loadsMs })) * 1e6)}`,
    ),
  )
  verdicts.push(await metered(project, component))
  const outcomes = await runAll(component, project, tests)
  const again = await runAll(component, project, tests)
  const used = [...new Set(outcomes.flatMap(({ usage }) => Object.keys(usage?.hostCalls ?? {})))].sort()
  const inside: Array<Outcome> = []
  for await (const outcome of runUnits(project, units)) inside.push(outcome)
  verdicts.push(
    tested(outcomes, inside, description),
    capabilities(asked, used, description),
    deterministic(outcomes, again),
    await hostile(project, component, seed),
  )
  verdicts.push(...(await paper(project, component)))
  return { verdicts, asked, used }
}

/** What a load says of a component: an import that nothing was asked for is no flaw of its making. */
function refused(error: SteleError): Verdict {
  const reason = `${error.code}: ${error.message}`
  return error instanceof CapabilityError && error.reason._tag === "Missing"
    ? fail("capabilities", reason, `add ${error.reason.needed.join(", ")} to "capabilities" in plugin.json, with a reason`)
    : fail("abi", reason, error.fix)
}

/** What makes it stoppable, and what that costs. */
async function metered({ manifest }: Project, component: Uint8Array): Promise<Verdict> {
  const options = loadOptionsOf(manifest)
  const { bytes, meteredBytes, ms } = await instrumentation(component, options)
  return pass(
    "metering",
    `${options.metering ?? "deadline"}: ${bytesText(bytes)} of code become ${bytesText(meteredBytes)}, instrumented in ${timeText(ms * 1e6)}`,
  )
}

async function runAll(component: Uint8Array, project: Project, tests: ReadonlyArray<Test>): Promise<ReadonlyArray<Outcome>> {
  const outcomes: Array<Outcome> = []
  for (const test of tests) outcomes.push(await runTest(component, project, test))
  return outcomes
}

const takesHandle = anywhere((type) => type.kind === "own" || type.kind === "borrow")

function tested(outcomes: ReadonlyArray<Outcome>, inside: ReadonlyArray<Outcome>, { exports }: Description): Verdict {
  const all = [...outcomes, ...inside]
  const failed = all.filter(({ passed }) => !passed)
  if (failed.length > 0) return fail("tests", `${failed.length} of ${all.length} failed: ${failed[0]?.name}: ${failed[0]?.problems[0]}`, "stele test")
  const called = new Set(outcomes.map(({ usage }) => usage?.export))
  // A test as data is one call, and has no handle to give.
  const callable = exports.filter(({ type }) => !type.params.some((param) => takesHandle(param.type)))
  const never = callable.filter(({ name }) => !called.has(name)).map(({ name }) => name)
  if (outcomes.length === 0) return fail("tests", "there are none", "write tests/first.json")
  if (never.length > 0) return fail("tests", `no test calls ${never.join(", ")}`, "write a test for each export")
  const others = exports.length - callable.length
  return pass(
    "tests",
    `${all.length} pass, every export is called${others === 0 ? "" : ` but ${countText(others)} that take a resource, which tests as data cannot give`}`,
  )
}

function capabilities(asked: ReadonlyArray<string>, used: ReadonlyArray<string>, { imports }: Description): Verdict {
  const served = new Set(imports.flatMap(({ grant }) => (grant === undefined ? [] : [parseGrant(grant).capability])))
  const needless = asked.filter((grant) => !served.has(parseGrant(grant).capability))
  if (needless.length > 0) return fail("capabilities", `asks for ${needless.join(", ")}, which nothing it imports is served by`, "leave it out of plugin.json")
  const unused = asked.filter((grant) => !used.includes(grant))
  if (unused.length > 0) return warn("capabilities", `asks for ${unused.join(", ")}, which no test uses`, "test what it is for, or leave it out of plugin.json")
  return pass("capabilities", asked.length === 0 ? "asks for nothing" : `asks for ${asked.join(", ")}, and tests use it`)
}

/** The same tests twice, in new instances: what they cost may differ, what they answer and write may not. */
function deterministic(first: ReadonlyArray<Outcome>, second: ReadonlyArray<Outcome>): Verdict {
  const text = ({ log, passed, problems, usage }: Outcome): string =>
    JSON.stringify({ log, passed, problems, bytesOut: usage?.bytesOut, hostCalls: usage?.hostCalls })
  const different = first.filter((outcome, at) => text(outcome) !== text(second[at] as Outcome)).map(({ name }) => name)
  return different.length > 0
    ? fail("determinism", `answers otherwise the second time: ${different.join(", ")}`, "take time and chance from clocks and random only: tests fake both")
    : pass("determinism", "every test answers alike twice")
}

async function hostile(project: Project, component: Uint8Array, seed: number): Promise<Verdict> {
  const { cases, findings } = await fuzz(component, project, { seed, ms: hostileMs })
  const [first] = findings
  return first === undefined
    ? pass("hostile input", `${countText(cases)} calls that nobody wrote down, each answered (seed ${seed})`)
    : fail("hostile input", `${first.export} fails on ${JSON.stringify(first.arguments)}: ${first.code}`, `stele test --replay ${first.replay}`)
}

function licensed(license: string, hasText: boolean): Verdict {
  const problem = licenseProblem(license)
  if (problem === undefined)
    return hasText ? pass("license", license) : warn("license", `${license}, and its text is not in the project`, "add a file LICENSE with the text")
  const otherwise = "write an identifier of https://spdx.org/licenses, or LicenseRef-NAME for a license of your own"
  return fail(
    "license",
    `"${license}" is no SPDX expression`,
    problem.meant === undefined ? otherwise : `write "license": ${JSON.stringify(problem.meant)} if that was meant`,
  )
}

/** What is read and not run. */
async function paper({ folder, manifest }: Project, component: Uint8Array): Promise<ReadonlyArray<Verdict>> {
  const page = join(folder, "README.md")
  const found = await stat(page).catch(() => undefined)
  const readme = found?.isFile() === true && found.size <= fileBytesMax ? await readFile(page, "utf8") : ""
  const hasLicense = (
    await Promise.all(["LICENSE", "LICENSE.md", "LICENSE.txt", "COPYING"].map((name) => stat(join(folder, name)).catch(() => undefined)))
  ).some((found) => found !== undefined)
  const packed = gzipSync(component).length
  const size = `${bytesText(component.length)}, ${bytesText(packed)} packed`
  return [
    component.length > sizeWarnBytes ? warn("size", size, "build for size, or leave out what it does not need") : pass("size", size),
    readme.length < readmeCharsMin
      ? fail(
          "documentation",
          readme === "" ? "there is no README.md" : `README.md has ${readme.length} characters`,
          `say in README.md what it does, what it asks for and how it is called, in ${readmeCharsMin} characters or more`,
        )
      : pass("documentation", "README.md"),
    licensed(manifest.license, hasLicense),
  ]
}
