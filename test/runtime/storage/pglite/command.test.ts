/** PGlite by the command line, installed as a package beside its driver: looked at, checked, taken to this version's format. */
import { randomBytes } from "node:crypto"
import { cp, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import t from "tap"
import { example, root, stele } from "../../command-line.ts"

t.setTimeout(200_000)
const folder = await mkdtemp(join(tmpdir(), "stele-pglite-command-"))
t.teardown(() => rm(folder, { recursive: true, force: true }))
await cp(join(root, "dist"), join(folder, "dist"), { recursive: true })
await cp(join(root, "package.json"), join(folder, "package.json"))
await mkdir(join(folder, "node_modules/@electric-sql"), { recursive: true })
for (const name of ["effect", "@effect"]) await symlink(join(root, "node_modules", name), join(folder, "node_modules", name))
await symlink(join(root, "test/node_modules/@electric-sql/pglite"), join(folder, "node_modules/@electric-sql/pglite"))
const installed = (...args: ReadonlyArray<string>) => stele(args, { program: [process.execPath, join(folder, "dist/cli.js")] })

t.test("a store in PGlite is used, looked at, checked, migrated and moved by the command line", async (t) => {
  const address = `pglite:${join(folder, "store")}`
  for (const command of ["info", "check", "migrate"])
    t.match(installed("storage", command, address), { code: 69, stderr: /STELE-STO-0002/ }, `${command} of what is not there`)
  t.notOk((await readdir(folder)).includes("store"), "nothing was made")
  const called = installed("call", example("snoop"), "tamper", "--grant", "log", "--grant", "kv:write:prices/*", "--storage", address)
  t.equal(called.code, 0, called.stderr)
  t.match(JSON.parse(installed("storage", "info", address, "--json").stdout), {
    server: { fsync: false },
    tables: [{ table: "key_value", count: 1, tenants: 1 }],
  })
  t.match(installed("storage", "check", address), { code: 0, stdout: /every row is as it was written, and every object/ })
  t.match(installed("storage", "migrate", address), { code: 0, stdout: /^Nothing to do: the store has format \d+\n$/ })
  const doctor = JSON.parse(installed("doctor", address, "--json").stdout) as { readonly diagnoses: ReadonlyArray<object> }
  t.match(
    doctor.diagnoses.filter((each) => "about" in each && ["sync", "store"].includes(String(each.about))),
    [
      { about: "sync", status: "warn", treatment: /stele storage move/ },
      { about: "store", status: "ok" },
    ],
  )
  const key = join(folder, "key")
  await writeFile(key, randomBytes(32))
  const rotated = installed("storage", "rotate", address, "--storage-key", `file:${key}`)
  t.match(rotated, { code: 0, stdout: /sealed by new keys; the old keys are destroyed/ }, rotated.stderr)
  t.match(
    installed("call", example("snoop"), "tamper", "--grant", "log", "--grant", "kv:write:prices/*", "--storage", address),
    { stderr: /STELE-STO-0073/ },
    "sealed now",
  )
  const target = `sqlite:${join(folder, "moved.db")}`
  t.equal(installed("storage", "move", address, target).code, 0)
  t.equal(installed("storage", "check", target).code, 0)
})

t.test("without the driver the command names what to install", (t) => {
  t.match(stele(["doctor", `pglite:${join(folder, "store")}`]), { code: 3, stdout: /npm install @electric-sql\/pglite/ })
  t.end()
})
