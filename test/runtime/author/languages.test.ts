/**
 * Every template: made, built, tested and judged through the command line, as its README says. Of the languages whose compilers
 * take seconds a short run has every second: `test/plugins/projects.test.ts` builds in all of them.
 */
import { mkdtemp, readdir, readFile, rm, symlink } from "node:fs/promises"
import { existsSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import t from "tap"
import { toolchainOf } from "../../../runtime/author/language/mod.ts"
import { type Language, languageNames } from "../../../schemas/manifest/plugin.ts"
import { root, stele } from "../command-line.ts"
import { isFull, sampled } from "../../seed.ts"

t.setTimeout(600_000)

/** Languages whose compilers somebody has made sure of: their absence is a failure. */
const expected = new Set((process.env["STELE_TEST_LANGUAGES"] ?? "").split(" "))
const templates = (await readdir(join(root, "plugins/templates"))).toSorted() as ReadonlyArray<Language>
const tests = await readFile(join(root, "plugins/templates/assemblyscript/tests/greet.json"), "utf8")
/** Bytes of a component above which something is wrong with how it was built. */
const bytesMax: { readonly [L in Language]?: number } = {
  assemblyscript: 12_000,
  c: 6_000,
  rust: 40_000,
  go: 2_500_000,
  typescript: 1_300_000,
  python: 24_000_000,
}

t.strictSame(
  templates,
  Object.keys(languageNames)
    .filter((name) => name !== "other")
    .toSorted(),
  "there is a template for each language",
)

const isQuick = (language: Language): boolean => language === "assemblyscript" || language === "c"
// Python and TypeScript, whose plugins carry an interpreter of megabytes, are made in `test/plugins/projects.test.ts` whatever the sample.
const chosen = [
  ...templates.filter(isQuick),
  ...sampled(
    templates.filter((language) => !isQuick(language)),
    2,
    1,
  ),
]
if (chosen.length < templates.length) t.comment(`${templates.filter((language) => !chosen.includes(language)).join(" and ")} with --full`)
for (const language of chosen) {
  const isOfNpm = existsSync(join(root, "plugins/templates", language, "package.json"))
  const missing = isOfNpm ? [] : (await (await toolchainOf(language)).needs(undefined)).filter(({ found }) => found === undefined)
  const skip = missing.length > 0 && !expected.has(language) && `not here: ${missing.map(({ what }) => what).join(", ")}`
  t.test(`${languageNames[language]}: new, build, test, check`, { skip }, async (t) => {
    const folder = await mkdtemp(join(tmpdir(), "stele-languages-"))
    t.teardown(() => rm(folder, { recursive: true }))
    const made = stele(["new", "price-rule", "--template", language, "--namespace", "shop"], { cwd: folder })
    t.equal(made.code, 0, made.stderr)
    const cwd = join(folder, "price-rule")
    const slow = { cwd, timeoutMs: 300_000 }
    if (isOfNpm) await symlink(join(root, "node_modules"), join(cwd, "node_modules"))
    t.equal(await readFile(join(cwd, "tests/greet.json"), "utf8"), tests, "the tests are the same for all languages")
    const readme = await readFile(join(cwd, "README.md"), "utf8")
    t.ok(readme.split("\n").length <= 60, "its README is one page")
    // Check builds and tests, too; builds of the others take seconds of processor time.
    if (isQuick(language) || isFull) {
      const tested = stele(["test"], slow)
      t.match(tested, { code: 0, stdout: /2 passed, 0 failed/ }, tested.stderr)
    }
    const checked = stele(["check", "--json", "--seed", "1"], slow)
    t.equal(checked.code, 0, checked.stdout)
    t.match(checked.stdout, /2 pass, every export is called/)
    const component = await readFile(join(cwd, "build/price-rule.wasm"))
    t.ok(component.length <= (bytesMax[language] ?? 0), `${component.length} bytes`)
    const inspected = JSON.parse(stele(["inspect", "build/price-rule.wasm", "--json"], { cwd }).stdout) as Readonly<
      Record<"imports" | "exports", ReadonlyArray<{ readonly name: string }>>
    >
    t.strictSame(
      inspected.imports.map(({ name }) => name),
      ["wasi:logging/logging@0.1.0-draft"],
      "it asks for what its world names and no more",
    )
    t.strictSame(
      inspected.exports.map(({ name }) => name),
      ["shop:price-rule/api#greet"],
      "and exports nothing else",
    )
  })
}

t.test("a compiler that is not here is named, with the line that installs it", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "stele-languages-"))
  t.teardown(() => rm(folder, { recursive: true }))
  const env = { PATH: folder }
  for (const [language, line] of [
    ["c", /clang.*apt-get install clang lld/s],
    ["go", /1\.24.*go\.dev/s],
    ["python", /componentize-py.*pip install/s],
  ] as const) {
    stele(["new", `my-${language}`, "--template", language], { cwd: folder })
    t.match(stele(["build"], { cwd: join(folder, `my-${language}`), env }), { code: 69, stderr: line }, language)
  }
})
