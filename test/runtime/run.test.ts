/** `stele run`: a program as a process of this machine, with its streams, folders, variables, exit code and signals. */
import { spawn } from "node:child_process"
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import t from "tap"
import { parseDirectory, programOptions, writer } from "../../runtime/cli/run.ts"
import { jsonError, main, root, stele } from "./command-line.ts"
import { programs } from "./wasi-programs.ts"

t.setTimeout(120_000)
const folder = realpathSync(mkdtempSync(join(tmpdir(), "stele-run-")))
t.teardown(() => rmSync(folder, { recursive: true }))

async function file(name: keyof typeof programs): Promise<string> {
  const path = join(folder, `${name}.wasm`)
  writeFileSync(path, await programs[name]())
  return path
}

t.test("streams are this process's, the exit code is passed on", async (t) => {
  t.same(stele(["run", await file("hello")]), { code: 0, stdout: "hello\n", stderr: "to stderr\n" })
  t.same(stele(["run", await file("exit7")]), { code: 7, stdout: "", stderr: "" })
  t.same(stele(["run", await file("echo")], { input: "from here\n" }), { code: 0, stdout: "from here\n", stderr: "" })
  const trapped = stele(["run", await file("trap")])
  t.equal(trapped.code, 1)
  t.match(trapped.stderr, /STELE-PLG-0002/)
})

t.test("arguments and variables arrive as they are, behind -- also those with dashes", async (t) => {
  const { stdout } = stele(["run", await file("arguments"), "--env", "A=1=2", "--env", "FROM_HERE", "one", "--", "--deadline", "--"], {
    env: { FROM_HERE: "here" },
  })
  t.equal(stdout, "arguments.wasm\0one\0--deadline\0--\0A=1=2\0FROM_HERE=here\0")
  const unset = stele(["run", await file("arguments"), "--env", "NOT_SET_ANYWHERE"])
  t.equal(unset.code, 2)
  t.match(unset.stderr, /NOT_SET_ANYWHERE/)
})

t.test("folders are what --dir says, and :ro holds", async (t) => {
  const box = join(folder, "box")
  mkdirSync(box)
  writeFileSync(join(box, "a.txt"), "the content\n")
  t.same(stele(["run", await file("show"), "--dir", `${box}::/in:ro`]), { code: 0, stdout: "the content\n", stderr: "" })
  const refused = stele(["run", await file("make"), "--dir", `${box}::/in:ro`])
  t.equal(refused.code, 69, "read-only file system")
  t.match(refused.stderr, /--grant fs:write/)
  t.equal(stele(["run", await file("make"), "--dir", box]).code, 0)
  t.equal(readFileSync(join(box, "new.txt"), "utf8"), "")
  t.equal(stele(["run", await file("show")]).code, 8, "nothing is open without --dir")
  t.match(stele(["run", await file("show"), "--dir", "::x"]), { code: 2, stderr: /HOST::GUEST/ })
  t.match(stele(["run", await file("show"), "--dir", join(folder, "nowhere")]).stderr, /error\[STELE-FS/)
})

t.test("what is denied is said, with the grant that allows it", async (t) => {
  const { code, stderr } = stele(["run", await file("monotonic")])
  t.equal(code, 76)
  t.match(stderr, /denied clock:monotonic {3}--grant clock:monotonic allows it/)
  t.same(stele(["run", await file("monotonic"), "--grant", "clock:monotonic"]), { code: 0, stdout: "", stderr: "" })
})

t.test("a deadline stops a program, in a loop and while it waits for input that does not come", async (t) => {
  const spun = stele(["run", await file("spin"), "--deadline", "200ms"])
  t.equal(spun.code, 7)
  t.match(spun.stderr, /STELE-LIM-0010/)
  const child = spawn(process.execPath, [main, "run", await file("echo"), "--deadline", "300ms"], { cwd: root, stdio: ["pipe", "ignore", "ignore"] })
  const code = await new Promise((resolve) => child.on("exit", resolve))
  t.equal(code, 7, "standard input stayed open")
})

t.test("input that comes later is waited for", async (t) => {
  const child = spawn(process.execPath, [main, "run", await file("echo")], { cwd: root, stdio: ["pipe", "pipe", "inherit"] })
  let output = ""
  const first = new Promise<void>((resolve) => {
    child.stdout.on("data", (chunk: Buffer) => {
      output += chunk.toString()
      if (output === "one\n") resolve()
    })
  })
  child.stdin.write("one\n")
  await first
  child.stdin.end("two\n")
  t.equal(await new Promise((resolve) => child.on("exit", resolve)), 0)
  t.equal(output, "one\ntwo\n")
})

t.test("an interrupt ends a program that computes, and one that waits", async (t) => {
  for (const [name, flags] of [
    ["spin", []],
    ["echo", []],
    ["spin", ["--engine", "node-wasi"]],
  ] as const) {
    const child = spawn(process.execPath, [main, "run", await file(name), ...flags, "--usage"], { cwd: root, stdio: ["pipe", "ignore", "ignore"] })
    const ended = new Promise((resolve) => child.on("exit", (_code, signal) => resolve(signal)))
    setTimeout(() => child.kill("SIGINT"), 1_500)
    t.equal(await ended, "SIGINT", name)
  }
})

t.test("another engine runs the same program; what it lacks is refused by name", async (t) => {
  t.same(stele(["run", await file("hello"), "--engine", "node-wasi"]), { code: 0, stdout: "hello\n", stderr: "to stderr\n" })
  t.same(stele(["run", await file("echo"), "--engine", "node-wasi"], { input: "from here\n" }).stdout, "from here\n")
  t.equal(stele(["run", await file("exit7"), "--engine", "node-wasi"]).code, 7)
  t.equal(jsonError(stele(["run", await file("hello"), "--engine", "node-wasi", "--fuel", "1M", "--json"]))["code"], "STELE-ENG-0001")
  t.match(stele(["run", await file("hello"), "--engine", "wasmer"]), { code: 2, stderr: /"js" or "node-wasi" or "wasmtime"/ })
})

t.test("--allow-http grants every method on what its pattern covers, and is checked as a grant", async (t) => {
  const flags = { file: "a.wasm", args: [], dir: [], env: [], allowHttp: ["https://api.example.com/*"], grant: ["log"], limit: [], tenant: "t" }
  const rest = { config: [], secret: [], kv: [], usage: false, raw: false, json: false }
  t.same(programOptions({ ...flags, ...rest }, [{ host: "/srv", guest: "/in", isWritable: false }]).grants, [
    "log",
    "http:*:https://api.example.com/*",
    "fs:read:/srv",
  ])
  t.match(stele(["run", await file("hello"), "--allow-http", "api.example.com"]), { code: 2, stderr: /STELE-CAP-0001/ })
  t.same(stele(["run", await file("hello"), "--allow-http", "https://api.example.com/*"]).code, 0)
})

t.test("what is no program says so", async (t) => {
  const { code, stderr } = stele(["run", await file("reactor")])
  t.equal(code, 2)
  t.match(stderr, /is no program/)
  t.equal(stele(["run", join(folder, "nothing.wasm")]).code, 4)
})

t.test("`parseDirectory()` reads hosts, guests and :ro", async (t) => {
  t.same(parseDirectory("/a"), { host: "/a", guest: "/a", isWritable: true })
  t.same(parseDirectory("/a::/b:ro"), { host: "/a", guest: "/b", isWritable: false })
  t.same(parseDirectory(".:ro"), { host: process.cwd(), guest: ".", isWritable: false })
  for (const text of ["", "::", "/a::", "::/b", ":ro"]) t.throws(() => parseDirectory(text), { code: "STELE-CFG-0002" })
})

t.test("`writer()` lets nothing of a program steer a terminal, unless that is asked for", async (t) => {
  const written: Array<string> = []
  const keep = (_: 1 | 2, bytes: Uint8Array): void => void written.push(new TextDecoder().decode(bytes))
  const text = new TextEncoder().encode("a\u001b[2Jb\r\nc\rd\t\u202ee\n")
  writer(1, false, keep, true)(text)
  writer(1, false, keep, false)(text)
  writer(1, true, keep, true)(text)
  t.equal(written[0], "a\\u{1b}[2Jb\nc\\u{d}d\t\\u{202e}e\n")
  t.equal(written[1], written[2])
  const halves = writer(1, false, keep, true)
  halves(Uint8Array.of(0xc3))
  halves(Uint8Array.of(0xa9))
  t.equal(written.at(-1), "é")
})
