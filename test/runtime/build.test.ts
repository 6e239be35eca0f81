/** The scripts that prepare a checkout: what they write is reproducible, and they are silent when there is nothing to do. */
import { spawnSync } from "node:child_process"
import { copyFile, cp, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import t from "tap"
import { build as buildProject } from "../../runtime/author/build.ts"
import { openProject } from "../../runtime/author/project.ts"
import { openTools } from "../../runtime/author/tools.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))
const folder = await mkdtemp(join(tmpdir(), "stele-build-"))
t.teardown(() => rm(folder, { recursive: true }))

const build = async (project: string): Promise<Uint8Array> => {
  await using tools = openTools()
  return buildProject(await openProject(project), tools)
}

t.test("an example is the same bytes when it is built again, in another place", async (t) => {
  for (const name of ["greeter", "text-stats"]) {
    const from = join(root, "plugins/examples", name)
    const project = join(folder, name)
    await cp(from, project, { recursive: true, filter: (path) => !/[/\\](build|bindings)$/.test(path) })
    await symlink(join(root, "node_modules"), join(project, "node_modules"))
    t.ok(Buffer.from(await build(project)).equals(await readFile(join(from, "build", `${name}.wasm`))), name)
  }
})

t.test("`prepare.mjs` says and changes nothing when all is in place", async (t) => {
  const { status, stdout, stderr } = spawnSync(process.execPath, ["runtime/build/prepare.mjs", "examples", "test"], { cwd: root, encoding: "utf8" })
  t.equal(status, 0)
  t.equal(stdout + stderr, "")
})

t.test("`complete-lock.mjs` adds the packages of other platforms when a lockfile lacks them", async (t) => {
  const path = join(folder, "package-lock.json")
  const complete = () => spawnSync(process.execPath, [join(root, "runtime/build/complete-lock.mjs"), path], { encoding: "utf8" })
  await copyFile(join(root, "package-lock.json"), path)
  t.equal(complete().status, 0)
  t.equal(await readFile(path, "utf8"), await readFile(join(root, "package-lock.json"), "utf8"), "the repository's own is complete")
  const lock = JSON.parse(await readFile(path, "utf8")) as { readonly packages: Record<string, Record<string, unknown>> }
  const place = "node_modules/@rolldown/binding-linux-arm64-musl"
  delete lock.packages[place]
  await writeFile(path, JSON.stringify(lock))
  t.match(complete().stderr, "1 optional packages of other platforms added")
  const completed = JSON.parse(await readFile(path, "utf8")) as typeof lock
  t.match(completed.packages[place], { cpu: ["arm64"], libc: ["musl"], os: ["linux"], optional: true })
})
