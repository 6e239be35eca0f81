/** What is put in the place of first-party plugins, as people say it: flag, environment, stele.json, and what the doctor makes of it. */
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import t from "tap"
import type { Diagnosis } from "../../runtime/doctor/diagnosis.ts"
import { Host } from "../../runtime/mod.ts"
import { configuredPlugins } from "../../runtime/plugins/configuration.ts"
import { replacementsOf } from "../../runtime/plugins/replaced.ts"
import { stele } from "./command-line.ts"

t.setTimeout(120_000)
const folder = await mkdtemp(join(tmpdir(), "stele-plugins-"))
t.teardown(() => rm(folder, { recursive: true }))
const settings = (text: string): Promise<void> => writeFile(join(folder, "stele.json"), text)

t.test("configuredPlugins() takes the flag before the environment before stele.json, each from its own folder", async (t) => {
  t.strictSame(await configuredPlugins([], { env: { STELE_PORT: "1" }, folder: join(folder, "none") }), {})
  await settings('{ "plugins": { "a": "a.wasm", "b": "b.wasm", "c-d": "./c.wasm", "e": "https://example.com/e.wasm" } }')
  const env = { STELE_PLUGIN_B: "/b.wasm", STELE_PLUGIN_C_D: "../c.wasm", STELE_PLUGIN_E: "" }
  t.strictSame(await configuredPlugins(["c-d=sha256:00", "f=x=y.wasm"], { env, folder }), {
    a: { source: join(folder, "a.wasm"), setBy: "stele.json" },
    b: { source: "/b.wasm", setBy: "STELE_PLUGIN_B" },
    "c-d": { source: "sha256:00", setBy: "--plugin c-d" },
    e: { source: "https://example.com/e.wasm", setBy: "stele.json" },
    f: { source: join(folder, "x=y.wasm"), setBy: "--plugin f" },
  })
})

t.test("what cannot be read is refused with its place", async (t) => {
  for (const flag of ["a", "a=", "=x", "A=x", "a b=x"])
    await t.rejects(configuredPlugins([flag], { env: {}, folder: tmpdir() }), { code: "STELE-CFG-0002" }, flag)
  await settings('{\n  "plugin": {} }')
  await t.rejects(configuredPlugins([], { env: {}, folder }), {
    code: "STELE-AUT-0001",
    reason: { problems: [{ file: "stele.json", line: 2, column: 3, message: 'Cannot know the key "plugin"' }] },
  })
  await settings('{ "plugins": { "a": 1 } }')
  await t.rejects(configuredPlugins([], { env: {}, folder }), { code: "STELE-AUT-0001" })
})

t.test("Host.open() keeps what is given for plugins that there are, and refuses others", async (t) => {
  await t.rejects(Host.open({ plugins: { nothing: "x.wasm" } }), { code: "STELE-RPL-0001", message: /"nothing", as Host.open\(\{ plugins \}\) says/ })
  await t.rejects(Host.open({ plugins: "x" as never }), { code: "STELE-CFG-0002" })
  await t.rejects(Host.open({ plugins: { nothing: null as never } }), { code: "STELE-RPL-0001" })
  await using host = await Host.open({ plugins: {} })
  t.equal(replacementsOf(host).size, 0)
})

t.test("`stele doctor` tells of a replacement that cannot be, and who asked for it", async (t) => {
  const plugins = (...args: ReadonlyArray<string>): { readonly code: number | null; readonly found: Diagnosis | undefined } => {
    const { code, stdout } = stele(["doctor", "memory", "--json", ...args], { cwd: folder, env: { STELE_PLUGIN_NO_SUCH: args.length === 0 ? "x.wasm" : "" } })
    return { code, found: (JSON.parse(stdout) as { diagnoses: ReadonlyArray<Diagnosis> }).diagnoses.find(({ about }) => about === "plugins") }
  }
  await settings("{}")
  t.match(plugins(), {
    code: 3,
    found: { status: "fail", found: 'Cannot replace "no-such", as STELE_PLUGIN_NO_SUCH says: there is no first-party plugin of that name' },
  })
  t.match(plugins("--plugin", "other=x.wasm"), { code: 3, found: { found: /"other", as --plugin other says/ } })
  await settings("{ nothing }")
  t.match(plugins("--plugin", "other=x.wasm"), { code: 3, found: { found: /^stele\.json:1:3 / } })
})
