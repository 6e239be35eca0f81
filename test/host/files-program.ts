/**
 * Every way out of a directory that is known, tried on the machine's file system: what each answers, and whether anything
 * outside was read or changed. Then a race: another process swaps a directory for a link without end. Run on each engine.
 */
import { execFileSync, spawn } from "node:child_process"
import { lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { parseGrant } from "../../host/capability/grant.ts"
import { serverFileSystem } from "../../host/platform/file-system.ts"
import * as descriptor from "../../host/wasi/descriptor.ts"
import { openPreopens } from "../../host/wasi/preopen.ts"
import { testCall, type TestCall } from "./capability-call.ts"

const [, , holds = "descriptors", rounds = "500"] = process.argv
// The tree's own path has no link, or what is compared with it would never be equal.
const folder = mkdtempSync(join(realpathSync(tmpdir()), "stele-files-"))
const given = join(folder, "given")
const outside = join(folder, "outside")
const port = serverFileSystem(holds === "paths" ? { holds } : {})

mkdirSync(join(given, "sub/deep"), { recursive: true })
mkdirSync(join(outside, "room"), { recursive: true })
writeFileSync(join(given, "inside.txt"), "INSIDE")
writeFileSync(join(given, "sub/deep/leaf.txt"), "LEAF")
for (const path of ["canary.txt", "room/canary.txt"]) writeFileSync(join(outside, path), "CANARY")
const link = (target: string, name: string): void => symlinkSync(target, join(given, name))
link("../outside/canary.txt", "up-file")
link("../outside", "up-dir")
link(join(outside, "canary.txt"), "absolute-file")
link(outside, "absolute-dir")
link("up-file", "chain")
link("sub/deep/../../../outside/canary.txt", "winding")
link("loop-b", "loop-a")
link("loop-a", "loop-b")
link("itself", "itself")
link("/proc/self/cwd", "magic-cwd")
link("/proc/self/exe", "magic-root")
link("/dev/stdin", "device-link")
link("sub/deep/leaf.txt", "good-file")
link("sub", "good-dir")
symlinkSync("../../inside.txt", join(given, "sub/deep/good-up"))
link("../outside/new-by-link", "dangling-out")
link("sub/made-by-link", "dangling-in")
let chain = "inside.txt"
for (let i = 0; i < 45; i++) link(chain, (chain = `long-${i}`))
execFileSync("mkfifo", [join(given, "fifo")])
// By a shell: Deno makes text of a path's bytes.
execFileSync("sh", ["-c", `printf x > "$0/odd-$(printf '\\377\\376')"`, join(given, "sub")])
const socket = createServer().listen(join(given, "socket"))
await new Promise((resolve) => socket.once("listening", resolve))

/** The outside as it is: names, kinds, contents, links' texts, times of change. */
function photograph(path: string): string {
  const stat = lstatSync(path, { bigint: true })
  const about = `${path} ${stat.mode} ${stat.ino} ${stat.nlink} ${stat.mtimeNs}`
  if (stat.isSymbolicLink()) return `${about} ${readlinkSync(path)}`
  if (stat.isDirectory())
    return [
      about,
      ...readdirSync(path)
        .sort()
        .map((name) => photograph(join(path, name))),
    ].join("\n")
  return `${about} ${readFileSync(path, "utf8")}`
}
const before = photograph(outside)

function open(grants: ReadonlyArray<string>): readonly [TestCall, descriptor.Descriptor] {
  const call = testCall(grants)
  const preopens = openPreopens(port, { directories: { "/d": given }, grants: grants.map(parseGrant), missing: "refuse", guarded: [] })
  Object.assign(call, { wasi: { ...call.wasi, preopens } })
  const [first] = descriptor.preopened(call)
  return [call, (first as NonNullable<typeof first>)[0]]
}
const [call, root] = open([`fs:read:${given}`, `fs:write:${given}`])

const read = { read: true, write: false, follow: true }
const write = { read: true, write: true, follow: true, create: true }

/** What came of it: the error's code, or `ok` with what was read. */
function tell(result: { readonly tag: "ok" | "err"; readonly val: unknown }): string {
  if (result.tag === "err") return String(result.val)
  if (!(result.val instanceof descriptor.Descriptor)) return result.val === undefined ? "ok" : `ok ${typeof result.val === "string" ? result.val : "value"}`
  const found = result.val
  const into = new Uint8Array(64)
  const count = found.isDirectory || !found.access.read ? undefined : descriptor.read(call, found, into, 0n)
  found.close(call)
  return count === undefined ? "ok directory" : count.tag === "ok" ? `ok ${new TextDecoder().decode(into.subarray(0, count.val))}` : `opened, ${count.val}`
}

const paths = [
  ...["../outside/canary.txt", "..", "../", "./..", "sub/../../outside/canary.txt", "sub/deep/../../../outside", "sub/..", "sub/../inside.txt", "//etc/passwd"],
  ...[
    "/etc/passwd",
    "/",
    join(outside, "canary.txt"),
    "",
    ".",
    "./",
    "inside.txt",
    "inside.txt/",
    "inside.txt/.",
    "inside.txt/..",
    "sub//deep///leaf.txt",
    "sub/./deep/./leaf.txt",
  ],
  ...[
    "up-file",
    "up-dir",
    "up-dir/canary.txt",
    "up-dir/../given/inside.txt",
    "absolute-file",
    "absolute-dir/canary.txt",
    "chain",
    "winding",
    "loop-a",
    "itself",
    "itself/x",
  ],
  ...[
    "magic-cwd",
    "magic-cwd/package.json",
    "magic-root",
    "device-link",
    "good-file",
    "good-dir/deep/leaf.txt",
    "sub/deep/good-up",
    "good-dir/../inside.txt",
    "long-39",
    "long-40",
  ],
  ...[
    "fifo",
    "socket",
    "sub/odd-\ufffd\ufffd",
    "inside.txt\0/../../x",
    "\0",
    "x".repeat(256),
    "x/".repeat(2_100),
    "sub/".repeat(200),
    "missing",
    "missing/x",
    "inside.txt/x",
  ],
  ...["INSIDE.TXT", "..\\outside\\canary.txt", "sub\\..\\..\\outside", "%2e%2e/outside", "\u2024\u2024/outside", "C:\\Windows", "file:///etc/passwd", "~"],
]
const tried: Record<string, string> = {}
const attempt = (what: string, path: string, act: () => { readonly tag: "ok" | "err"; readonly val: unknown }): void => {
  const named = path.replaceAll("\0", "NUL").replace(folder, "FOLDER")
  const shown = named.length > 40 ? `${named.slice(0, 10)}…${named.length}` : named
  const startedMs = performance.now()
  tried[`${what} ${shown}`] = tell(act())
  if (performance.now() - startedMs > 1_000) tried[`${what} ${shown}`] = `waited ${performance.now() - startedMs} ms`
}
for (const path of paths) {
  attempt("open", path, () => descriptor.openAt(call, root, path, read))
  attempt("stat", path, () => descriptor.statAt(call, root, path, true))
}
for (const path of ["up-file", "loop-a", "good-file"]) {
  attempt("open-nofollow", path, () => descriptor.openAt(call, root, path, { ...read, follow: false }))
  attempt("stat-nofollow", path, () => descriptor.statAt(call, root, path, false))
  attempt("readlink", path, () => descriptor.readLinkAt(call, root, path))
}
for (const path of ["../outside/new", "up-dir/new", "absolute-dir/new", "dangling-out", "dangling-in", "up-file", "absolute-file", "device-link", "fifo"])
  attempt("create", path, () => descriptor.openAt(call, root, path, write))
attempt("truncate", "up-file", () => descriptor.openAt(call, root, "up-file", { read: false, write: true, follow: true, truncate: true }))
for (const path of ["../outside/new", "up-dir/new", "absolute-dir/new", "..", "."]) {
  attempt("mkdir", path, () => descriptor.createDirectoryAt(call, root, path))
  attempt("symlink", path, () => descriptor.symlinkAt(call, root, "inside.txt", path))
  attempt("rename-to", path, () => descriptor.renameAt(call, root, "inside.txt", root, path))
  attempt("link-to", path, () => descriptor.linkAt(call, root, "inside.txt", true, root, path))
}
for (const path of ["../outside/canary.txt", "up-dir/canary.txt", "absolute-dir/canary.txt", "up-dir/room", "..", "."]) {
  attempt("unlink", path, () => descriptor.unlinkFileAt(call, root, path))
  attempt("rmdir", path, () => descriptor.removeDirectoryAt(call, root, path))
  attempt("rename-from", path, () => descriptor.renameAt(call, root, path, root, "stolen"))
  attempt("link-from", path, () => descriptor.linkAt(call, root, path, true, root, "stolen"))
  attempt("times", path === "." ? ".." : path, () => descriptor.setTimesAt(call, root, path === "." ? ".." : path, true, { modifiedNs: 1n }))
}
for (const path of ["up-file", "absolute-file"]) {
  attempt("times", path, () => descriptor.setTimesAt(call, root, path, true, { modifiedNs: 1n }))
  attempt("link-from", path, () => descriptor.linkAt(call, root, path, true, root, "stolen"))
}
for (const [target, path] of [
  ["/etc/passwd", "n1"],
  ["../outside", "n2"],
  ["sub/../../outside", "n3"],
  ["../../inside.txt", "sub/deep/n4"],
  ["../../../outside", "sub/deep/n5"],
  ["", "n6"],
] as const)
  attempt(`symlink ${target} at`, path, () => descriptor.symlinkAt(call, root, target, path))

// A descriptor of a directory below is the root of its own paths.
const below = descriptor.openAt(call, root, "sub", { ...read, directory: true })
if (below.tag === "ok")
  for (const path of ["../inside.txt", "deep/../../inside.txt", "deep/leaf.txt", "deep/good-up"])
    attempt("below", path, () => descriptor.openAt(call, below.val, path, read))

// What the kernel shows as files.
for (const path of ["/proc", "/proc/self", "/sys"]) tried[`root ${path}`] = port.root(path).tag === "ok" ? "ok" : "refused"
const slash = port.root("/")
if (slash.tag === "ok") for (const name of ["proc", "sys"]) tried[`mount ${name}`] = tell(slash.val.openDirectory(name))

const entries = new Set<string>()
const list = descriptor.readDirectory(call, root)
if (list.tag === "ok")
  for (let entry = list.val.next(call); entry.tag === "err" || entry.val !== undefined; entry = list.val.next(call))
    entries.add(entry.tag === "ok" ? `${entry.val?.name} ${entry.val?.kind}` : `error ${entry.val}`)

const odd: Array<string> = []
const listed = below.tag === "ok" ? descriptor.readDirectory(call, below.val) : undefined
if (listed?.tag === "ok")
  for (let entry = listed.val.next(call); entry.tag === "err" || entry.val !== undefined; entry = listed.val.next(call))
    odd.push(entry.tag === "ok" ? String(entry.val?.name) : `error ${entry.val}`)

/**
 * Another process swaps `given/swap`, a directory, for a link to the outside and back, and a file for a link, while this one
 * goes through them: an escape is a canary read, made or changed. It also moves a directory to where the link in it leads outside by its
 * text, and back.
 */
async function race(): Promise<Readonly<Record<"rounds" | "escapes" | "inside" | "refused" | "naive" | "moved", number>>> {
  for (const name of ["outside", "above", "above/room"]) mkdirSync(join(given, name))
  writeFileSync(join(given, "outside/canary.txt"), "SAFE")
  symlinkSync("../../outside", join(given, "above/room/link"))
  for (const name of ["swap", "kept"]) mkdirSync(join(given, name))
  writeFileSync(join(given, "swap/canary.txt"), "SAFE")
  writeFileSync(join(given, "file"), "SAFE")
  const program = `
    const { renameSync, symlinkSync, writeFileSync, existsSync } = require("node:fs")
    const [given, outside] = process.argv.slice(1)
    symlinkSync(outside, given + "/kept/link"); symlinkSync(outside + "/canary.txt", given + "/kept/file-link")
    process.stdout.write("ready\\n")
    const until = Date.now() + 120000
    while (Date.now() < until && !existsSync(given + "/stop")) for (let i = 0; i < 50; i++) {
      renameSync(given + "/above/room", given + "/room")
      renameSync(given + "/swap", given + "/kept/swap"); renameSync(given + "/kept/link", given + "/swap")
      renameSync(given + "/file", given + "/kept/file"); renameSync(given + "/kept/file-link", given + "/file")
      renameSync(given + "/room", given + "/above/room")
      renameSync(given + "/swap", given + "/kept/link"); renameSync(given + "/kept/swap", given + "/swap")
      renameSync(given + "/file", given + "/kept/file-link"); renameSync(given + "/kept/file", given + "/file")
    }`
  const child = spawn(process.env["STELE_TEST_NODE"] ?? "node", ["-e", program, given, outside], { stdio: ["ignore", "pipe", "inherit"] })
  await new Promise((resolve) => child.stdout.once("data", resolve))
  let escapes = 0
  let inside = 0
  let refused = 0
  let naive = 0
  let moved = 0
  /** What the race is against: comparing the resolved path, then opening it. */
  const isLedOut = (): boolean => {
    try {
      return realpathSync(join(given, "file")).startsWith(given) && readFileSync(join(given, "file"), "utf8") === "CANARY"
    } catch {
      return false
    }
  }
  for (let round = 0; round < Number(rounds); round++) {
    const results = [
      tell(descriptor.openAt(call, root, "swap/canary.txt", read)),
      tell(descriptor.openAt(call, root, "file", read)),
      tell(descriptor.openAt(call, root, `swap/made-${round % 7}`, { ...write, read: false })),
      tell(descriptor.createDirectoryAt(call, root, `swap/folder-${round % 5}`)),
      tell(descriptor.removeDirectoryAt(call, root, `swap/folder-${round % 5}`)),
      tell(descriptor.unlinkFileAt(call, root, `swap/made-${round % 7}`)),
      tell(descriptor.setTimesAt(call, root, "file", true, { modifiedNs: 5_000_000_000n })),
    ]
    if (isLedOut()) naive++
    for (const result of results.slice(0, 2)) {
      if (result.includes("CANARY")) escapes++
      else if (result.includes("SAFE")) inside++
      else refused++
    }
    for (const path of ["above/room/link/canary.txt", "room/link/canary.txt"]) {
      const result = tell(descriptor.openAt(call, root, path, read))
      if (result.includes("CANARY")) escapes++
      else if (result.includes("not-permitted")) moved++
    }
  }
  writeFileSync(join(given, "stop"), "")
  await new Promise((resolve) => child.once("exit", resolve))
  return { rounds: Number(rounds), escapes, inside, refused, naive, moved }
}
const raced = await race()
socket.close()
call.discard()
const result = {
  holds: port.holds,
  tried,
  entries: [...entries].sort(),
  odd: odd.sort(),
  raced,
  isUntouched: photograph(outside) === before,
}
rmSync(folder, { recursive: true, force: true })
console.log(JSON.stringify(result))
process.exit(0)
