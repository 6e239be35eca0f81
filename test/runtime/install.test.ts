/** The installer, against a download server: a program that answers `build-info` stands for the real one. */
import { spawn } from "node:child_process"
import { createHash } from "node:crypto"
import { once } from "node:events"
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { gzipSync } from "node:zlib"
import t from "tap"

const script = await readFile(fileURLToPath(new URL("../../runtime/install/install.sh", import.meta.url)), "utf8")
const file = `stele-${process.platform}-${process.arch}.gz`
const program = gzipSync('#!/bin/sh\n[ "$1" = build-info ] && echo "Stele 9.9.9, binary"\n')
const sums = (bytes: Uint8Array) => `${createHash("sha256").update(bytes).digest("hex")}  ${file}\n`

if (process.platform === "win32") t.bailout("the shell's installer is not for Windows")

const served = new Map<string, Uint8Array | string>()
const asked: Array<string> = []
const server = createServer((request, response) => {
  asked.push(request.url ?? "")
  const body = served.get(request.url ?? "")
  response.writeHead(body === undefined ? 404 : 200).end(body)
})
server.listen(0, "127.0.0.1")
await once(server, "listening")
t.teardown(() => server.close())
const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
const installer = script.replace("@ADDRESS@", address)

async function install(args: ReadonlyArray<string>, text = installer, env: Readonly<Record<string, string>> = {}) {
  const child = spawn("sh", ["-s", "--", ...args], { env: { PATH: process.env["PATH"], HOME: home, ...env } })
  let output = ""
  child.stdout.on("data", (chunk: Buffer) => (output += chunk.toString()))
  child.stderr.on("data", (chunk: Buffer) => (output += chunk.toString()))
  child.stdin.end(text)
  const [status] = (await once(child, "close")) as [number | null]
  return { status, output }
}

const home = await mkdtemp(join(tmpdir(), "stele-install-"))
t.teardown(() => rm(home, { recursive: true, force: true }))
const prefix = join(home, "prefix")
const there = async (): Promise<ReadonlyArray<string>> => readdir(join(prefix, "bin")).catch(() => [])

t.beforeEach(async () => {
  await rm(prefix, { recursive: true, force: true })
  asked.length = 0
  served.clear()
  served.set(`/${file}`, program)
  served.set("/SHA256SUMS", `0000  other.gz\n${sums(program)}`)
})

t.test("installs under a prefix, and says what to add to PATH", async (t) => {
  const { status, output } = await install(["--prefix", prefix])
  t.equal(status, 0, output)
  t.match(output, /Installed .*prefix\/bin\/stele: Stele 9\.9\.9/)
  t.match(output, /PATH/)
  t.same(await there(), ["stele"])
  t.notMatch((await install(["--prefix", prefix], installer, { PATH: `${prefix}/bin:${process.env["PATH"] ?? ""}` })).output, /Add /)
})

t.test("replaces the program that is there", async (t) => {
  await mkdir(join(prefix, "bin"), { recursive: true })
  await writeFile(join(prefix, "bin/stele"), "old")
  t.equal((await install(["--prefix", prefix])).status, 0)
  t.match(await readFile(join(prefix, "bin/stele"), "utf8"), /9\.9\.9/)
})

t.test("a dry run downloads and changes nothing", async (t) => {
  const { status, output } = await install(["--dry-run", "--prefix", prefix])
  t.equal(status, 0)
  t.match(output, new RegExp(`Would download ${address}/${file}`))
  t.same(asked, [])
  t.same(await there(), [])
})

t.test("refuses another checksum, and leaves what was there", async (t) => {
  await mkdir(join(prefix, "bin"), { recursive: true })
  await writeFile(join(prefix, "bin/stele"), "old")
  served.set(`/${file}`, gzipSync("#!/bin/sh\necho other\n"))
  const { status, output } = await install(["--prefix", prefix])
  t.equal(status, 1)
  t.match(output, /checksum .* nothing was installed/)
  t.same(await there(), ["stele"])
  t.equal(await readFile(join(prefix, "bin/stele"), "utf8"), "old")
})

t.test("refuses what does not run here", async (t) => {
  const broken = gzipSync("#!/bin/sh\nexit 1\n")
  served.set(`/${file}`, broken)
  served.set("/SHA256SUMS", sums(broken))
  const { status, output } = await install(["--prefix", prefix])
  t.equal(status, 1)
  t.match(output, /does not run/)
  t.same(await there(), [])
})

t.test("a server that lacks the sums, the program or this platform", async (t) => {
  served.delete(`/${file}`)
  t.match(await install(["--prefix", prefix]), { status: 1, output: /cannot download .*gz/ })
  served.set("/SHA256SUMS", "0000  other.gz\n")
  t.match(await install(["--prefix", prefix]), { status: 1, output: /not among its platforms/ })
  served.delete("/SHA256SUMS")
  t.match(await install(["--prefix", prefix]), { status: 1, output: /cannot download .*SHA256SUMS/ })
  t.same(await there(), [])
})

t.test("a script that arrives cut off does nothing", async (t) => {
  const last = installer.trimEnd().lastIndexOf("}")
  asked.length = 0
  for (const length of [last, installer.indexOf("mkdir -p") + 20, installer.indexOf("work=$(mktemp") + 18, 600]) {
    const { status } = await install(["--prefix", prefix], installer.slice(0, length))
    t.not(status, 0, `${length} characters of it`)
  }
  t.same(asked, [])
  t.same(await there(), [])
})

t.test("options: help, unknown ones, missing values, no address", async (t) => {
  t.match(await install(["--help"]), { status: 0, output: /--prefix DIR/ })
  t.match(await install(["--frob"]), { status: 1, output: /unknown option "--frob"/ })
  t.match(await install(["--prefix"]), { status: 1, output: /needs a value/ })
  t.match(await install(["--prefix", prefix], script), { status: 1, output: /pass --from/ })
  t.match(await install(["--prefix", prefix, "--from", address], script), { status: 0 })
  t.match(await install(["--prefix", prefix], script, { STELE_FROM: `${address}/` }), { status: 0 })
})

t.test("PowerShell's installer", { skip: "PowerShell is run on Windows only" }, () => undefined)
