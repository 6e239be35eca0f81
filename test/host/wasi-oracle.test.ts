/**
 * The same operations on equal trees through `preview2-shim` and through this host: answers are equal but where the table
 * says why not.
 */
import { linkSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import t from "tap"
import { parseGrant } from "../../host/capability/grant.ts"
import { serverFileSystem } from "../../host/platform/file-system.ts"
import { openPreopens } from "../../host/wasi/preopen.ts"
import { testCall } from "./capability-call.ts"

if (process.platform !== "linux") {
  t.pass("the shim answers otherwise on other systems, and so do they", { skip: "not on Linux" })
  process.exit(0)
}

type Answer = { readonly tag: "ok" | "err"; readonly val: unknown }
/** A method of `descriptor` by its name in WIT; handles among the arguments are by number, -1 the directory given. */
type Operation = readonly [method: string, self: number, ...args: ReadonlyArray<unknown>]
interface Side {
  readonly root: string
  run(operation: Operation): Answer
}

const folder = mkdtempSync(join(realpathSync(tmpdir()), "stele-oracle-"))
t.teardown(() => rmSync(folder, { recursive: true, force: true }))

function tree(name: string): string {
  const root = join(folder, name, "given")
  mkdirSync(join(root, "sub/deep"), { recursive: true })
  mkdirSync(join(root, "empty"))
  writeFileSync(join(folder, name, "secret"), "SECRET")
  writeFileSync(join(root, "a.txt"), "hello world")
  writeFileSync(join(root, "sub/b.txt"), "b")
  linkSync(join(root, "a.txt"), join(root, "twin"))
  for (const [target, at] of [
    ["a.txt", "link"],
    ["sub", "dir-link"],
    ["../secret", "out"],
    ["/etc/passwd", "absolute"],
    ["self", "self"],
    ["none", "dangling"],
    ["../a.txt", "sub/up"],
  ] as const)
    symlinkSync(target, join(root, at))
  return root
}

/** Which argument of a method is another descriptor. */
const second: Readonly<Record<string, number>> = { "rename-at": 1, "link-at": 2, "is-same-object": 0 }
const camel = (name: string): string => name.replaceAll(/-([a-z])/g, (_, letter: string) => letter.toUpperCase())

function ours(): Side {
  const root = tree("ours")
  const grants = [`fs:read:${root}`, `fs:write:${root}`]
  const call = testCall(grants)
  const preopens = openPreopens(serverFileSystem(), { directories: { "/d": root }, grants: grants.map(parseGrant), missing: "refuse", guarded: [] })
  Object.assign(call, { wasi: { ...call.wasi, preopens } })
  const [given] = (call.do("wasi:filesystem/preopens#get-directories") as ReadonlyArray<readonly [unknown, string]>)[0] as readonly [unknown, string]
  const handles: Array<unknown> = []
  const handle = (at: number): unknown => (at < 0 ? given : handles[at])
  return {
    root,
    run([method, self, ...args]) {
      const at = second[method]
      const real = args.map((arg, i) => (i === at ? handle(arg as number) : arg))
      const answer = call.do(`wasi:filesystem/types#[method]descriptor.${method}`, handle(self), ...real) as Answer
      if (method === "open-at") handles.push(answer.tag === "ok" ? answer.val : given)
      return typeof answer === "object" ? answer : { tag: "ok", val: answer }
    },
  }
}

async function shims(): Promise<Side> {
  const root = tree("shim")
  // Its types are for guests; what is called here is plain JavaScript.
  const { createFilesystem } = (await import("@bytecodealliance/preview2-shim/filesystem")) as unknown as {
    createFilesystem(options: { preopens: Record<string, string> }): {
      preopens: { getDirectories(): ReadonlyArray<readonly [Record<string, (...args: ReadonlyArray<unknown>) => unknown>, string]> }
    }
  }
  const [given] = createFilesystem({ preopens: { "/d": root } }).preopens.getDirectories()[0] as readonly [
    Record<string, (...args: ReadonlyArray<unknown>) => unknown>,
    string,
  ]
  const handles: Array<typeof given> = []
  const handle = (at: number): typeof given => (at < 0 ? given : (handles[at] as typeof given))
  return {
    root,
    run([method, self, ...args]) {
      const at = second[method]
      const real = args.map((arg, i) => (i === at ? handle(arg as number) : arg))
      const open = (val: unknown): void => void (method === "open-at" && handles.push(val as typeof given))
      try {
        const of = handle(self)
        const val = (of[camel(method)] as (...args: ReadonlyArray<unknown>) => unknown).apply(of, real)
        open(val)
        return { tag: "ok", val }
      } catch (error) {
        open(given)
        const { payload, code } = error as { payload?: unknown; code?: unknown }
        return { tag: "err", val: typeof error === "string" ? error : (payload ?? code ?? String(error)) }
      }
    },
  }
}

/** What can be equal of an answer: no handles, no times but those that were set. */
function plain(method: string, { tag, val }: Answer): unknown {
  if (tag === "err") return `err ${typeof val === "string" ? val : JSON.stringify(val)}`
  if (method === "stat" || method === "stat-at") {
    const { type, linkCount, size } = val as Readonly<Record<string, unknown>>
    return `${String(type)} links ${type === "directory" ? "?" : String(linkCount)} bytes ${type === "directory" ? "?" : String(size)}`
  }
  if (method === "read") return [new TextDecoder().decode((val as [Uint8Array, boolean])[0]), (val as [Uint8Array, boolean])[1]]
  if (method === "get-flags") return { read: (val as { read: boolean }).read, write: (val as { write: boolean }).write }
  return typeof val === "object" || val === undefined ? "ok" : val
}

const follow = { symlinkFollow: true }
const stay = { symlinkFollow: false }
const noSync = { fileIntegritySync: false, dataIntegritySync: false, requestedWriteSync: false, mutateDirectory: false }
const r = { read: true, write: false, ...noSync }
const w = { read: false, write: true, ...noSync }
const rw = { read: true, write: true, ...noSync }
const how = (words = "") => Object.fromEntries(["create", "directory", "exclusive", "truncate"].map((word) => [word, words.includes(word)]))
const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text)
const open = (path: string, asked: object = r, words = "", at: object = follow): Operation => ["open-at", -1, at, path, how(words), asked]
const paths = [
  ...[
    "a.txt",
    "./a.txt",
    "sub/../a.txt",
    "sub/deep/../b.txt",
    "sub//b.txt",
    "a.txt/",
    "sub",
    "sub/",
    ".",
    "",
    "..",
    "../secret",
    "sub/../../secret",
    "/etc/passwd",
  ],
  ...["link", "link/", "dir-link/b.txt", "dir-link", "out", "absolute", "self", "dangling", "sub/up", "none", "none/x", "a.txt/x", "none/../a.txt", "a\0b"],
]

/** In this order, on both: handles are numbered by the opens. */
const operations: ReadonlyArray<Operation> = [
  open("a.txt", rw),
  ["get-type", 0],
  ["get-flags", 0],
  ["read", 0, 5n, 0n],
  ["read", 0, 100n, 6n],
  ["read", 0, 5n, 11n],
  ["read", 0, 5n, 500n],
  ["read", 0, 0n, 0n],
  ["write", 0, utf8("HELLO"), 0n],
  ["write", 0, utf8("!"), 13n],
  ["read", 0, 100n, 0n],
  ["stat", 0],
  ["set-size", 0, 20n],
  ["stat", 0],
  ["set-size", 0, 5n],
  ["read", 0, 100n, 0n],
  ["sync", 0],
  ["sync-data", 0],
  ["advise", 0, 0n, 5n, "sequential"],
  ["read-directory", 0],
  ["set-times", 0, { tag: "timestamp", val: { seconds: 7n, nanoseconds: 0 } }, { tag: "timestamp", val: { seconds: 8n, nanoseconds: 0 } }],
  ["stat-at", -1, stay, "twin"],
  ...paths.map((path): Operation => ["stat-at", -1, follow, path]),
  ...paths.map((path): Operation => ["stat-at", -1, stay, path]),
  ...paths.map((path) => open(path)),
  ...["link", "out", "dir-link", "self"].map((path) => open(path, r, "", stay)),
  ...["link", "a.txt", "out", "none", "sub"].map((path): Operation => ["readlink-at", -1, path]),
  ...["new", "new", "sub/new", "out", "dangling", "../new", "sub"].map((path) => open(path, w, "create")),
  ...["new", "link", "fresh"].map((path) => open(path, w, "create exclusive")),
  open("new", w, "truncate"),
  open("a.txt", r, "directory"),
  open("sub", r, "directory"),
  open("sub", rw),
  ...["made", "made", "made/in", "none/in", "a.txt/in", "../out", "slash/", "out/in"].map((path): Operation => ["create-directory-at", -1, path]),
  ...["made/in", "sub", "a.txt", "none", "slash/", "../given", "link"].map((path): Operation => ["remove-directory-at", -1, path]),
  ...["fresh", "fresh", "sub", "a.txt/", "../secret", "dir-link", "out"].map((path): Operation => ["unlink-file-at", -1, path]),
  ["symlink-at", -1, "a.txt", "soft"],
  ["symlink-at", -1, "a.txt", "soft"],
  ["symlink-at", -1, "/etc/passwd", "hard-out"],
  ["symlink-at", -1, "../secret", "soft-out"],
  ["readlink-at", -1, "soft"],
  ["link-at", -1, stay, "a.txt", -1, "third"],
  ["link-at", -1, stay, "a.txt", -1, "third"],
  ["link-at", -1, stay, "sub", -1, "sub2"],
  ["link-at", -1, stay, "../secret", -1, "stolen"],
  ["link-at", -1, stay, "none", -1, "x"],
  ["link-at", -1, stay, "soft", -1, "soft-twin"],
  ["rename-at", -1, "third", -1, "fourth"],
  ["rename-at", -1, "none", -1, "x"],
  ["rename-at", -1, "fourth", -1, "../x"],
  ["rename-at", -1, "../secret", -1, "x"],
  ["rename-at", -1, "sub", -1, "sub/x"],
  ["rename-at", -1, "fourth", -1, "sub"],
  ["rename-at", -1, "sub", -1, "fourth"],
  ["rename-at", -1, "made", -1, "empty"],
  ["set-times-at", -1, follow, "../secret", { tag: "now" }, { tag: "now" }],
  ["set-times-at", -1, follow, "none", { tag: "now" }, { tag: "now" }],
  [
    "set-times-at",
    -1,
    follow,
    "fourth",
    { tag: "timestamp", val: { seconds: 1n, nanoseconds: 0 } },
    { tag: "timestamp", val: { seconds: 2n, nanoseconds: 0 } },
  ],
]

/** Where this host answers otherwise, and why. By operation: what it answers, what the shim does. */
const differences: Readonly<Record<string, readonly [ours: unknown, shim: unknown, why: string]>> = {
  'stat-at ""': ["err no-entry", "directory links ? bytes ?", "POSIX: an empty path names nothing"],
  'stat-at nofollow ""': ["err no-entry", "directory links ? bytes ?", "POSIX: an empty path names nothing"],
  'open-at ""': ["err no-entry", "ok", "POSIX: an empty path names nothing"],
  'stat-at "none/../a.txt"': ["err no-entry", "regular-file links 2 bytes 5", "`..` is of the directory before it, which must be there"],
  'stat-at nofollow "none/../a.txt"': ["err no-entry", "regular-file links 2 bytes 5", "`..` is of the directory before it, which must be there"],
  'open-at "none/../a.txt"': ["err no-entry", "ok", "`..` is of the directory before it, which must be there"],
  'stat-at "a\\u0000b"': ["err invalid", "err ERR_INVALID_ARG_VALUE", "what it throws is no error code"],
  'stat-at nofollow "a\\u0000b"': ["err invalid", "err ERR_INVALID_ARG_VALUE", "what it throws is no error code"],
  'open-at "a\\u0000b"': ["err invalid", "err ERR_INVALID_ARG_VALUE", "what it throws is no error code"],
  'symlink-at "../secret" "soft-out"': ["err not-permitted", "ok", "a link out of the directory is a trap for others"],
}

t.test("`wasi:filesystem` answers as preview2-shim does, operation by operation", async (t) => {
  const [host, shim] = [ours(), await shims()]
  t.comment(`${operations.length} operations, ${Object.keys(differences).length} known differences`)
  const seen = new Set<string>()
  for (const operation of operations) {
    const [method, , ...args] = operation
    const label =
      `${method} ${args.map((arg) => (typeof arg === "object" ? (arg === stay ? "nofollow" : "") : typeof arg === "bigint" ? `${arg}` : JSON.stringify(arg))).join(" ")}`
        .replaceAll(/ +/g, " ")
        .trim()
    const [mine, theirs] = [plain(method, host.run(operation)), plain(method, shim.run(operation))]
    const known = differences[label]
    if (known === undefined) t.strictSame(mine, theirs, label)
    else {
      seen.add(label)
      t.strictSame([mine, theirs], known.slice(0, 2), `${label}: ${known[2]}`)
    }
  }
  t.strictSame([...seen].sort(), Object.keys(differences).sort(), "every difference is still one")
  for (const side of [host, shim]) t.equal(readFileSync(join(side.root, "../secret"), "utf8"), "SECRET")
  t.strictSame(
    readdirSync(host.root).sort(),
    readdirSync(shim.root)
      .filter((name) => name !== "soft-out")
      .sort(),
    "and both trees end equal",
  )
  // It runs its files in a thread of its own, which nobody ends.
  setTimeout(() => process.exit(), 100)
})
