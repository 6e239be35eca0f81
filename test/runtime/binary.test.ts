/** Single-file programs: built, then run where there is nothing else. @long */
import { spawn, spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import { once } from "node:events"
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import t from "tap"
import type { BuildInfo } from "../../runtime/carried.ts"
import { isFull } from "../seed.ts"

t.setTimeout(300_000)
const root = fileURLToPath(new URL("../..", import.meta.url))
const built = spawnSync(process.execPath, ["runtime/build/binary.ts"], { cwd: root, encoding: "utf8", timeout: 240_000 })
if (built.status !== 0) t.bailout(built.stderr)

const programs = [
  ["node", "stele", 155e6],
  ["bun", "stele-bun", 110 * 1024 ** 2],
] as const

for (const [engine, name, bytesMax] of programs) {
  void t.test(`on ${engine}`, async (t) => {
    const program = join(root, "dist", name)
    const folder = await mkdtemp(join(tmpdir(), "stele-binary-"))
    t.teardown(() => rm(folder, { recursive: true, force: true }))
    /** In an empty folder, with nothing in its environment but a home. */
    const run = (args: ReadonlyArray<string>, input = "") => {
      const { status, stdout, stderr } = spawnSync(program, args, { cwd: folder, env: { HOME: folder }, encoding: "utf8", input, timeout: 60_000 })
      return { status, stdout, stderr }
    }

    await t.test(`is at most ${bytesMax} bytes`, async (t) => {
      t.ok((await stat(program)).size <= bytesMax, String((await stat(program)).size))
    })

    await t.test("tells what it was made from", async (t) => {
      const { status, stdout } = run(["build-info", "--json"])
      t.equal(status, 0)
      const info = JSON.parse(stdout) as BuildInfo & { readonly form: string }
      t.match(info, { form: "binary", engine: { name: engine }, target: `${process.platform}-${process.arch}`, sources: /^[0-9a-f]{64}$/ })
      for (const carried of ["sqlite-worker.js", "sdk/decimal.as.ts", "fpga/matcher.v"])
        t.ok(
          info.files.some((file) => file.name === carried),
          carried,
        )
      t.equal(run(["--version"]).stdout.includes(info.version), true)
    })

    await t.test("shows the examples, and keeps plugins in a file of its own", async (t) => {
      const first = run(["up", "--once", "--json"])
      t.equal(first.status, 0, first.stderr)
      const shown = JSON.parse(first.stdout) as { readonly plugins: ReadonlyArray<{ readonly isAsShown: boolean }> }
      t.equal(shown.plugins.length, 6)
      t.ok(shown.plugins.every((plugin) => plugin.isAsShown))
      const listed = run(["up"], "list\n")
      t.match(listed.stdout, /greeter/)
    })

    await t.test("is what it was built as, whatever lies in the folder that it is started in", async (t) => {
      await writeFile(join(folder, ".env"), "STELE_STORAGE=nonsense:\nNO_COLOR=1\n")
      await writeFile(join(folder, "bunfig.toml"), 'preload = ["./taken.ts"]\n')
      await writeFile(join(folder, "taken.ts"), 'console.log("taken over")\n')
      const { status, stdout, stderr } = run(["build-info"])
      t.equal(status, 0, stderr)
      t.notMatch(stdout + stderr, /taken over/)
    })

    await t.test("lays its examples out whole again when one was changed", async (t) => {
      const carried = join(folder, ".cache/stele/carried")
      const [version = ""] = await readdir(carried)
      const place = join(carried, version, "examples/greeter/greeter.wasm")
      const before = await readFile(place)
      await writeFile(place, before.subarray(0, 100))
      t.equal(run(["up", "--once", "--storage", "memory"]).status, 0)
      const digest = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex")
      t.equal(digest(await readFile(place)), digest(before))
    })

    await t.test("serves HTTP, and runs what is put in a process of its own", async (t) => {
      const env = { HOME: folder, STELE_PORT: "0" }
      const child = spawn(program, ["up", "--json", "--storage", "memory"], { cwd: folder, env, stdio: ["ignore", "pipe", "inherit"] })
      t.teardown(() => child.kill("SIGKILL"))
      const [line] = (await once(child.stdout.setEncoding("utf8"), "data")) as [string]
      const { service } = JSON.parse(line) as { readonly service: { readonly url: string } }
      const authorization = `Bearer ${(await readFile(join(folder, ".local/share/stele/token"), "utf8")).trim()}`
      const body = await readFile(join(root, "dist/examples/greeter/greeter.wasm"))
      const place = `${service.url}/v1/plugins/hello`
      const put = await fetch(`${place}?grant=log&grant=kv:read:prices/*`, {
        method: "PUT",
        body,
        headers: { authorization, "content-type": "application/wasm" },
      })
      t.match(await put.json(), { isolation: "process", state: "loaded" })
      const headers = { authorization, "content-type": "application/json" }
      const answer = await fetch(`${place}/calls/greet`, { method: "POST", body: '[{"name": "Ada"}]', headers })
      t.match(await answer.json(), { result: { message: "Hello, Ada!" } })
      child.kill("SIGTERM")
      t.same(await once(child, "exit"), [0, null])
    })

    await t.test("calls a component by its path", async (t) => {
      await mkdir(join(folder, "plugins"))
      await writeFile(join(folder, "plugins/text.wasm"), await readFile(join(root, "dist/examples/text-stats/text-stats.wasm")))
      const { status, stdout, stderr } = run(["call", "plugins/text.wasm", "analyze", "to be or not to be", "{top: 2, min-letters: 2}", "--grant", "log"])
      t.equal(status, 0, stderr)
      t.match(stdout, /be/)
    })
  })
}

void t.test("`--target` refuses a platform that no engine is published for, and names the others", async (t) => {
  const { status, stderr } = spawnSync(process.execPath, ["runtime/build/binary.ts", "--target", "plan9-mips"], { cwd: root, encoding: "utf8" })
  t.equal(status, 2)
  t.match(stderr, /Cannot build for "plan9-mips": the platforms are linux-x64, linux-arm64/)
})

void t.test(
  "`--target` puts the program into another platform's engine",
  { skip: !isFull ? "fetches 170 MB of engines: npm run test:full" : false },
  async (t) => {
    const { status, stderr } = spawnSync(process.execPath, ["runtime/build/binary.ts", "node", "--target", "linux-arm64", "--target", "windows-x64"], {
      cwd: root,
      encoding: "utf8",
    })
    t.equal(status, 0, stderr)
    for (const [name, magic] of [
      ["stele-linux-arm64", "7f454c46"],
      ["stele-windows-x64.exe", "4d5a"],
    ] as const) {
      const bytes = await readFile(join(root, "dist", name))
      t.ok(bytes.toString("hex", 0, 4).startsWith(magic))
      t.ok(bytes.includes("NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2:1"), "the engine looks for a program in itself")
      t.ok(bytes.includes(`"target":"${/-(.*?)(?:[.]exe)?$/.exec(name)?.[1]}"`) || bytes.includes("sqlite-worker.js"), "and finds this one")
      await rm(join(root, "dist", name))
    }
  },
)
