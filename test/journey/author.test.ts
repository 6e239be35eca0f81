// Journey 2: from nothing to a plugin that is built, watched, tested, fuzzed and judged. @long
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import t from "tap"
import { stele } from "../runtime/command-line.ts"
import { Dev, newProject } from "./author-dev.ts"

t.setTimeout(600_000)

t.test("an author gets from an empty folder to a plugin that passes, and every mistake on the way says what to do", async (t) => {
  const startedMs = performance.now()
  const folder = await mkdtemp(join(tmpdir(), "stele-author-"))
  t.teardown(() => rm(folder, { recursive: true }))
  const project = await newProject(folder, "my-rule")
  const run = (...words: ReadonlyArray<string>) => stele(words, { cwd: project, timeoutMs: 180_000 })

  {
    await using dev = new Dev(project)
    t.match(await dev.turn(), { passed: 2, failed: 0 }, "it works as it was made")
    const wrong = await dev.save("src/plugin.ts", (text) => text.replace("Willkommen", "Welkom"))
    t.match(wrong.turn, { passed: 1, failed: 1 }, "a change is seen, and its test fails")
    const broken = await dev.save("src/plugin.ts", (text) => text.replace("log(Level.info", "log(Level.infos"))
    t.match(broken.turn, { error: { code: "STELE-AUT-0004" } }, "so is source that does not compile")
    t.match(await dev.type('greet {"name": "Bo", "languages": ["de"]}'), { result: { text: "Welkom, Bo!" } }, "the last build that worked still answers")
    t.match(await dev.type('greet "Bo'), { error: { code: "STELE-CFG-0003", message: /quote.*does not end/ } }, "a line that cannot be read ends nothing")
    const right = await dev.save("src/plugin.ts", (text) => text.replace("Level.infos", "Level.info").replace("Welkom", "Willkommen"))
    t.match(right.turn, { passed: 2, failed: 0 })
    t.match(await dev.type('greet {"name": "Bo", "languages": ["de"]}'), { result: { text: "Willkommen, Bo!" } }, "and its successor is in its place")
    const manifest = await dev.save("plugin.json", (text) => text.replace('"reason"', '"reson"'))
    t.match(manifest.turn, { error: { code: "STELE-AUT-0001" } })
    await dev.save("plugin.json", (text) => text.replace('"reson"', '"reason"'))
    const denied = await dev.save("plugin.json", (text) => text.replace('{ "grant": "log", "reason": "Notes whom it welcomed" }', ""))
    t.match(denied.turn, { error: { code: "STELE-CAP-0003" } }, "without its capability it does not load")
    await dev.save("plugin.json", (text) => text.replace('"capabilities": []', '"capabilities": [{ "grant": "log", "reason": "Notes whom it welcomed" }]'))
  }

  const typo = await readFile(join(project, "plugin.json"), "utf8")
  await writeFile(join(project, "plugin.json"), typo.replace('"license"', '"lisence"'))
  t.match(run("check"), { code: 3, stderr: /plugin\.json:6:3 Cannot know the key "lisence"\n.*\n +\^\n.*write "license" if that was meant/s })
  await writeFile(join(project, "plugin.json"), typo)

  const inside = join(project, "tests/welcome.test.ts")
  const test = (language: string) => `import { expect, test } from "../bindings/sdk/test"
import { Visitor } from "../bindings/api"
import { greet } from "../src/plugin"
test("falls back to English", () => {
  expect(greet(new Visitor("Bo", ["xx"])).value.language).toEqual("${language}")
})
`
  await writeFile(inside, test("de"))
  t.match(run("test"), { code: 1, stdout: /FAIL falls back to English tests\/welcome.test.ts:4\n +tests\/welcome.test.ts:5:3 expected "de", got "en"/ })
  await writeFile(inside, test("en"))
  t.match(run("test"), { code: 0, stdout: /3 passed, 0 failed/ })

  const before = JSON.parse(run("bench", "--time", "200ms", "--json").stdout) as { isKept: boolean; exports: [{ fuel: string; medianUs: number }] }
  t.ok(before.isKept && before.exports[0].medianUs > 0)
  await writeFile(join(project, "asconfig.json"), '{"options": {"runtime": "stub"}}')
  const after = run("bench", "--time", "200ms")
  t.match(after, { code: 0, stdout: /^greet .*fuel 0\.\d+×$/m }, "a change is told by what it costs")
  await rm(join(project, "asconfig.json"))
  t.match(run("test", "--fuzz", "1s", "--seed", "1"), { code: 0, stdout: /\d+ calls, 0 found/ })
  await writeFile(
    join(project, "src/plugin.ts"),
    (await readFile(join(project, "src/plugin.ts"), "utf8")).replace("let language", "if (visitor.languages.length > 2) unreachable()\n  let language"),
  )
  const found = run("test", "--fuzz", "2s", "--seed", "1")
  t.match(found, { code: 3, stdout: /FOUND acme:my-rule\/api#greet.*again: stele test --replay 1\.\d+/s })
  const [, replay = ""] = /--replay (\S+)/.exec(found.stdout) ?? []
  t.match(run("test", "--replay", replay), { code: 3, stdout: /1 call, 1 found/ }, "the line makes the call again")
  t.match(run("check", "--seed", "1"), { code: 3, stdout: /FAIL hostile input/ })
  await writeFile(
    join(project, "src/plugin.ts"),
    (await readFile(join(project, "src/plugin.ts"), "utf8")).replace("if (visitor.languages.length > 2) unreachable()\n  ", ""),
  )
  const checked = run("check", "--seed", "1")
  t.match(checked, { code: 0, stdout: /pass capabilities +asks for log, and tests use it/ })
  t.match(checked, { stdout: /pass metering +deadline: .* of code become .*\n(.*\n)*pass tests +3 pass/ })
  t.comment(`${Math.round(performance.now() - startedMs)} ms`)
  t.ok(performance.now() - startedMs < 30 * 60_000)
})
