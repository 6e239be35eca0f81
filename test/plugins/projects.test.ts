/**
 * The examples as their authors have them: each is built, tested and judged, in a place of its own. `@long`
 *
 * Where a compiler is not installed one line says so; those that `STELE_TEST_LANGUAGES` names are expected.
 */
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { cp, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import t, { type Test } from "tap"
import { memoryConfig } from "../../host/port/mod.ts"
import { build } from "../../runtime/author/build.ts"
import { check } from "../../runtime/author/check.ts"
import { toolchainOf } from "../../runtime/author/language/mod.ts"
import { openProject, type Project, projectFolders } from "../../runtime/author/project.ts"
import { readTests, runTest } from "../../runtime/author/test.ts"
import { openTools } from "../../runtime/author/tools.ts"
import { openUnits } from "../../runtime/author/unit.ts"
import { Host } from "../../runtime/mod.ts"
import { languageNames } from "../../schemas/manifest/plugin.ts"
import { root, stele } from "../runtime/command-line.ts"
import { isFull, sampled } from "../seed.ts"

t.setTimeout(600_000)

const expected = new Set((process.env["STELE_TEST_LANGUAGES"] ?? "").split(" "))
const examples = join(root, "plugins/examples")
/** What builds write into projects. */
const made = /[/\\](?:build|bindings|__pycache__|abi\.go|bindings\.go)$/u
const sources = /^(?!sdk[/\\]|wit[/\\]).*\.(?:ts|rs|go|py|c)$/u
const linesMax = 100

const folder = await mkdtemp(join(tmpdir(), "stele-projects-"))
await symlink(join(root, "node_modules"), join(folder, "node_modules"))
const copy = (name: string, into = name): Promise<void> => cp(join(examples, name), join(folder, into), { recursive: true, filter: (path) => !made.test(path) })

const names = (await projectFolders(examples)).map((path) => path.slice(examples.length + 1))
const projects: Array<{ readonly project: Project; readonly skip: string | false }> = []
for (const name of names) {
  await copy(name)
  const project = await openProject(join(folder, name))
  const { language } = project.manifest
  const isOfNpm = language === "assemblyscript" || language === "typescript"
  const missing = isOfNpm ? [] : (await (await toolchainOf(language)).needs(undefined)).filter(({ found }) => found === undefined)
  projects.push({ project, skip: missing.length > 0 && !expected.has(language) && `not here: ${missing.map(({ what }) => what).join(", ")}` })
}
const tools = openTools()
// Nothing is awaited below: tap ends, and does this, when it has nothing left.
t.teardown(async () => {
  await tools[Symbol.asyncDispose]()
  await rm(folder, { recursive: true })
})

t.test("there is an example in each language, and each is on the page", async (t) => {
  t.strictSame(
    [...new Set(projects.map(({ project }) => project.manifest.language))].toSorted(),
    Object.keys(languageNames)
      .filter((name) => name !== "other")
      .toSorted(),
  )
  const readme = await readFile(join(examples, "README.md"), "utf8")
  for (const name of names) t.match(readme, `(${name}/README.md)`, `${name} is on the page`)
})

/** What asks for a rate by HTTP asks a real server, too: its one origin is the server's. */
async function reachesServer(t: Test, component: Uint8Array): Promise<void> {
  const asked: Array<string> = []
  const server = createServer((request, answer) => {
    asked.push(`${request.method} ${request.url}`)
    answer.setHeader("content-type", "application/json").end('{"date": "2026-05-04", "rates": {"CHF": 0.9375}}')
  })
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done))
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const at = (rates: string) => Host.open({ ports: { config: memoryConfig({ shared: { "rates-origin": rates } }) } })
  const options = { grants: [`http:GET:${origin}/*`, "config:rates-origin"], limits: { deadlineMs: 60_000 } }
  const convert = ["acme:exchange/api#convert", ["80", "EUR", "CHF"]] as const
  try {
    await using host = await at(origin)
    await using plugin = await host.load(component, options)
    t.same(await plugin.call(...convert), { amount: "75.00", rate: "0.9375", date: "2026-05-04" })
    // It is large, and loaded anew here.
    if (!isFull) return
    await using other = await at(origin.replace("127.0.0.1", "localhost"))
    await using strayed = await other.load(component, options)
    const refused: unknown = await strayed.call(...convert).catch((error: unknown) => error)
    t.match(refused, { code: "STELE-PLG-0001", reason: { payload: { tag: "network" } } }, "the same server by another name is another origin")
    t.same(asked, ["GET /latest?from=EUR&to=CHF"])
  } finally {
    server.close()
    server.closeAllConnections()
  }
}

/** The first of each language, and half of the others. */
const taken = new Set([
  ...projects.filter(({ project }, i) => projects.findIndex((other) => other.project.manifest.language === project.manifest.language) === i),
  ...sampled(projects, 2),
])
if (taken.size < projects.length) t.comment(`${projects.length - taken.size} more examples with --full`)
for (const { project, skip } of taken) {
  const { language, name } = project.manifest
  t.test(`${name}, in ${languageNames[language]}`, { skip }, async (t) => {
    const files = (await readdir(join(folder, name), { recursive: true })).filter((file) => sources.test(file))
    const lines = (await Promise.all(files.map((file) => readFile(join(folder, name, file), "utf8")))).map((text) => text.trimEnd().split("\n").length)
    const total = lines.reduce((sum, of) => sum + of, 0)
    t.ok(total > 0 && total <= linesMax, `${total} lines of its own`)
    t.equal(project.folder, join(folder, name))
    const component = await build(project, tools)
    const tests = await readTests(project)
    // Each load of a component that carries Python takes seconds, and a verdict takes thirty of them.
    if (language === "python" && !isFull) {
      for (const test of sampled(tests, Math.min(3, tests.length))) t.strictSame((await runTest(component, project, test)).problems, [], test.name)
    } else {
      const { asked, used, verdicts } = await check({ project, component, tests, units: await openUnits(project, tools), seed: 1 })
      const failed = verdicts.filter(({ verdict }) => verdict === "fail").map(({ about, reason }) => `${about}: ${reason}`)
      // Whoever calls it finds out what it is there to show.
      if (name === "spinner") t.match(failed, [/^hostile input: .*STELE-LIM-0010$/])
      else t.strictSame(failed, [])
      t.strictSame(used, asked.toSorted(), "it uses what it asks for")
    }
    if (name === "exchange") await reachesServer(t, component)
  })
}

t.test("`stele test --all` goes through a folder: what cannot be built is left out or failed, and said", async (t) => {
  await copy("spinner", "all/spinner")
  await copy("export-policy", "all/export-policy")
  await copy("spinner", "all/torn")
  await writeFile(join(folder, "all/torn/plugin.json"), "{")
  const all = (...words: ReadonlyArray<string>) =>
    stele(["test", "--all", "--project", join(folder, "all"), ...words], { env: { PATH: folder }, timeoutMs: 300_000 })
  const said = all()
  t.equal(said.code, 1, said.stderr)
  t.match(said.stdout, /^export-policy\nleft out .*clang.*\nspinner\npass is stopped\npass ends at once from zero\ntorn\nFAIL\n/u)
  t.match(said.stdout, /^3 plugins, 2 passed, 1 failed, 1 left out /mu)
  const lines = all("--json").stdout.trimEnd().split("\n")
  t.match(
    lines.map((line) => JSON.parse(line) as object),
    [
      { project: "export-policy", leftOut: true, error: { code: "STELE-AUT-0003" } },
      { project: "spinner", passed: 2, failed: 0 },
      { project: "torn", failed: 1 },
    ],
  )
  t.match(stele(["test", "--all", "--project", join(folder, "spinner/src")]), { code: 4, stderr: /STELE-AUT-0018/ })
  t.match(stele(["test", "--all", "--fuzz", "1s"]), { code: 2, stderr: /--all runs tests/ })
})
