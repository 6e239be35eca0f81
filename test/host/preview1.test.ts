/**
 * Preview 1, function by function: the same guest does the same on this host and under `node:wasi`, in two equal trees of
 * files, and the answers are compared. Where they differ on purpose, the case says how and why.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import t from "tap"
import { Host, type LoadOptions } from "../../host/mod.ts"
import { memoryLog, memoryObserver } from "../../host/port/mod.ts"
import { wat } from "./component-builder.ts"
import { type Machine, machineModule, machineOf, nodeMachine } from "./preview1-machine.ts"

const scratch = realpathSync(mkdtempSync(join(tmpdir(), "stele-preview1-")))
t.teardown(() => rmSync(scratch, { recursive: true }))
const log = memoryLog()
const observer = memoryObserver()
const host = await Host.open({ cache: false, ports: { log, observer } })
t.teardown(() => host.close())

// `proc_raise` would end this process, and what nobody serves under `node:wasi` is not imported.
const names = Object.keys((await import("./preview1-machine.ts")).signatures).filter((name) => name !== "proc_raise" && name !== "proc_exit")
const machine = await machineModule("wasi_snapshot_preview1", names)

const args = ["program", "--flag", "Zoë"]
const env = { LANG: "C.UTF-8", EMPTY: "" }
const clocks = ["clock:wall", "clock:monotonic:fine", "random"]

const namesIn = (folder: string): ReadonlySet<string> => new Set(readdirSync(folder, { recursive: true, encoding: "utf8" }))

let trees = 0
/** The same files each time, in a folder of their own. */
function tree(): string {
  const root = join(scratch, `tree-${trees++}`)
  mkdirSync(join(root, "box/folder/deep"), { recursive: true })
  mkdirSync(join(root, "box/empty"))
  writeFileSync(join(root, "secret.txt"), "secret")
  writeFileSync(join(root, "box/hello.txt"), "hello, world\n")
  writeFileSync(join(root, "box/folder/inner.txt"), "inner")
  symlinkSync("hello.txt", join(root, "box/link"))
  symlinkSync("folder", join(root, "box/folder-link"))
  symlinkSync("../secret.txt", join(root, "box/escape"))
  symlinkSync("/etc", join(root, "box/absolute"))
  symlinkSync("loop", join(root, "box/loop"))
  symlinkSync("nowhere", join(root, "box/dangling"))
  for (const name of ["hello.txt", "folder/inner.txt"]) utimesSync(join(root, "box", name), 1_600_000_000, 1_500_000_000)
  return root
}

/** The guest on this host: the box is descriptor 3. */
async function ours(root: string, options: LoadOptions = {}, bytes = machine) {
  const box = join(root, "box")
  const output: Array<Uint8Array> = []
  const plugin = await host.load(bytes, {
    grants: [`fs:read:${box}`, `fs:write:${box}`, ...clocks],
    instances: { reuse: "principal" },
    limits: { deadlineMs: 20_000 },
    ...options,
    wasi: {
      args,
      env,
      directories: { "/box": box },
      stdin: "standard input",
      stdout: (chunk) => void output.push(chunk),
      stderr: (chunk) => void output.push(chunk),
      ...options.wasi,
    },
  })
  return { plugin, machine: machineOf(plugin), output: () => Buffer.concat(output).toString() }
}

async function theirs(root: string) {
  writeFileSync(join(root, "stdin"), "standard input")
  const node = await nodeMachine(machine, {
    args,
    env,
    preopens: { "/box": join(root, "box") },
    stdin: join(root, "stdin"),
    stdout: join(root, "stdout"),
  })
  return { machine: node, output: () => readFileSync(join(root, "stdout"), "utf8") }
}

// ── What a guest does ───────────────────────────────────────────────────────

const all = 0x0fff_ffffn
const reading = (1n << 1n) | (1n << 2n) | (1n << 5n) | (1n << 14n) | (1n << 21n)
const writing = reading | (1n << 6n) | (1n << 8n) | (1n << 22n) | (1n << 23n)
const creat = 1
const directory = 2
const excl = 4
const trunc = 8

/** `path_open`; the descriptor, or the errno below 0. */
function open(m: Machine, path: string, options: { follow?: boolean; flags?: number; rights?: bigint; fdflags?: number; from?: number } = {}): number {
  const { follow = true, flags = 0, rights = reading, fdflags = 0, from = 3 } = options
  const length = m.put(1024, path)
  const errno = m.call("path_open", from, follow ? 1 : 0, 1024, length, flags, rights, all, fdflags, 512)
  return errno === 0 ? m.u32(512) : -errno
}
const opens = (m: Machine, path: string, options: Parameters<typeof open>[2] = {}): string => {
  const fd = open(m, path, options)
  if (fd < 0) return `errno ${-fd}`
  m.call("fd_close", fd)
  return "opened"
}

function write(m: Machine, fd: number, text: string, name = "fd_write", ...rest: ReadonlyArray<bigint>): readonly [number, number] {
  const length = m.put(2048, text)
  m.setU32(256, 2048, length)
  const errno = m.call(name, fd, 256, 1, ...rest, 512)
  return [errno, m.u32(512)]
}

function read(m: Machine, fd: number, length: number, name = "fd_read", ...rest: ReadonlyArray<bigint>): readonly [number, string] {
  m.setU32(256, 4096, length)
  const errno = m.call(name, fd, 256, 1, ...rest, 512)
  return [errno, errno === 0 ? m.text(4096, m.u32(512)) : ""]
}

function path(m: Machine, name: string, at: string, ...after: ReadonlyArray<number | bigint>): number {
  const length = m.put(1024, at)
  return m.call(name, 3, 1024, length, ...after)
}

function stat(m: Machine, at: string, follow = false) {
  const length = m.put(1024, at)
  const errno = m.call("path_filestat_get", 3, follow ? 1 : 0, 1024, length, 512)
  return errno === 0 ? { type: m.read(528, 1)[0], links: m.u64(536), size: m.u64(544), modified: m.u64(560) } : { errno }
}

function entries(m: Machine, fd: number, space = 4096): ReadonlyArray<string> {
  const found: Array<string> = []
  for (let cookie = 0n; ;) {
    if (m.call("fd_readdir", fd, 8192, space, cookie, 512) !== 0) return ["error"]
    const used = m.u32(512)
    let at = 0
    while (at + 24 <= used) {
      const length = m.u32(8192 + at + 16)
      if (at + 24 + length > used) break
      found.push(`${m.text(8192 + at + 24, length)} ${m.read(8192 + at + 20, 1)[0]}`)
      cookie = m.u64(8192 + at)
      at += 24 + length
    }
    if (used < space) return found.filter((entry) => !/^\.\.? /.test(entry)).sort()
    if (at === 0) return ["an entry does not fit"]
  }
}

function strings(m: Machine, name: "args" | "environ"): ReadonlyArray<string> {
  m.call(`${name}_sizes_get`, 512, 520)
  const [count, size] = [m.u32(512), m.u32(520)]
  m.call(`${name}_get`, 1024, 2048)
  return Array.from({ length: count }, (_, i) => {
    const at = m.u32(1024 + i * 4)
    return m.text(at, size - (at - 2048)).split("\0", 1)[0] as string
  })
}

interface Case {
  readonly title: string
  readonly run: (m: Machine) => unknown
  /** What this host answers where it differs, and why. */
  readonly differs?: { readonly ours: unknown; readonly because: string }
}

const cases: ReadonlyArray<Case> = [
  { title: "arguments and environment", run: (m) => [strings(m, "args"), strings(m, "environ")] },
  {
    title: "clocks and random answer",
    run: (m) => [m.call("clock_time_get", 0, 1n, 512), m.call("clock_time_get", 1, 1n, 512), m.call("random_get", 512, 64)],
  },
  { title: "a clock that there is not", run: (m) => [m.call("clock_time_get", 9, 1n, 512), m.call("clock_res_get", 9, 512)] },
  {
    title: "clocks of processor time",
    run: (m) => [m.call("clock_time_get", 2, 1n, 512), m.call("clock_res_get", 3, 512)],
    differs: { ours: [28, 28], because: "how much processor time its process takes is the host's own business" },
  },
  {
    title: "the preopened directory",
    run: (m) => [m.call("fd_prestat_get", 3, 512), m.u64(512), m.call("fd_prestat_dir_name", 3, 1024, 4), m.text(1024, 4), m.call("fd_prestat_get", 4, 512)],
  },
  {
    title: "a name that is longer than its room",
    run: (m) => m.call("fd_prestat_dir_name", 3, 1024, 2),
    differs: { ours: 37, because: "nametoolong, as in wasmtime; node:wasi says nobufs" },
  },
  {
    title: "reads a file in pieces",
    run: (m) => {
      const fd = open(m, "hello.txt")
      return [read(m, fd, 5), read(m, fd, 100), read(m, fd, 100), m.call("fd_close", fd), read(m, fd, 1)]
    },
  },
  {
    title: "reads at a place",
    run: (m) => {
      const fd = open(m, "hello.txt")
      return [read(m, fd, 5, "fd_pread", 7n), read(m, fd, 5), m.call("fd_close", fd)]
    },
  },
  {
    title: "seeks and tells",
    run: (m) => {
      const fd = open(m, "hello.txt")
      const at = (by: bigint, whence: number) => [m.call("fd_seek", fd, by, whence, 512), m.u64(512)]
      const out = [at(7n, 0), at(-2n, 1), at(-1n, 2), at(-100n, 1), at(0n, 7), m.call("fd_tell", fd, 512), m.u64(512)]
      m.call("fd_close", fd)
      return out
    },
  },
  {
    title: "creates, writes, reads back and truncates",
    run: (m) => {
      const fd = open(m, "new.txt", { flags: creat | excl, rights: writing })
      const out = [write(m, fd, "abcdef"), write(m, fd, "XY", "fd_pwrite", 1n), m.call("fd_seek", fd, 0n, 0, 512), read(m, fd, 100)]
      out.push(m.call("fd_filestat_set_size", fd, 3n) as never, read(m, fd, 100, "fd_pread", 0n), m.call("fd_allocate", fd, 0n, 8n) as never)
      m.call("fd_close", fd)
      return [
        ...out,
        stat(m, "new.txt").size,
        opens(m, "new.txt", { flags: creat | excl, rights: writing }),
        opens(m, "new.txt", { flags: trunc, rights: writing }),
        stat(m, "new.txt").size,
      ]
    },
  },
  {
    title: "appends",
    run: (m) => {
      const fd = open(m, "hello.txt", { rights: writing, fdflags: 1 })
      const out = [m.call("fd_seek", fd, 0n, 0, 512), write(m, fd, "more"), read(m, fd, 100, "fd_pread", 0n)]
      m.call("fd_close", fd)
      return out
    },
  },
  {
    title: "scattered buffers",
    run: (m) => {
      const fd = open(m, "hello.txt")
      m.setU32(256, 4096, 3, 5000, 0, 6000, 4)
      const errno = m.call("fd_read", fd, 256, 3, 512)
      m.call("fd_close", fd)
      return [errno, m.u32(512), m.text(4096, 3), m.text(6000, 4)]
    },
  },
  {
    title: "opens what is not there",
    run: (m) => [opens(m, "nothing"), opens(m, "nothing/below"), opens(m, "hello.txt/below"), opens(m, "nothing", { flags: directory })],
  },
  {
    title: "opens directories",
    run: (m) => [
      opens(m, "folder"),
      opens(m, "folder", { flags: directory }),
      opens(m, "hello.txt", { flags: directory }),
      opens(m, "folder/../folder/deep"),
      opens(m, "."),
    ],
  },
  { title: "opens a directory for writing", run: (m) => opens(m, "folder", { rights: writing }) },
  {
    title: "paths that lead out",
    run: (m) => [
      opens(m, "../secret.txt"),
      opens(m, "folder/../../secret.txt"),
      opens(m, "/etc/passwd"),
      opens(m, "escape"),
      opens(m, "absolute/passwd"),
      opens(m, ".."),
    ],
    differs: {
      ours: ["errno 63", "errno 63", "errno 63", "errno 63", "errno 63", "errno 63"],
      because:
        "perm for every way out, as in wasmtime and wasi:filesystem; node:wasi says notcapable, and noent for absolute links, which it takes for paths of the box",
    },
  },
  {
    title: "a link that is not to be followed",
    run: (m) => opens(m, "link", { follow: false }),
    differs: { ours: "errno 32", because: "loop, as POSIX and wasmtime have it; node:wasi opens what the link leads to" },
  },
  {
    title: "links are followed",
    run: (m) => [opens(m, "link"), opens(m, "folder-link/inner.txt"), opens(m, "dangling"), opens(m, "loop")],
  },
  {
    title: "reads a link",
    run: (m) => [path(m, "path_readlink", "link", 4096, 64, 512), m.text(4096, m.u32(512)), path(m, "path_readlink", "hello.txt", 4096, 64, 512)],
  },
  {
    title: "looks at files, folders and links",
    run: (m) => [stat(m, "hello.txt"), stat(m, "link").type, stat(m, "link", true).type, stat(m, "folder").type, stat(m, "nothing")],
  },
  {
    title: "lists a directory",
    run: (m) => {
      const fd = open(m, ".", { flags: directory, rights: all })
      const out = [entries(m, fd), entries(m, fd, 64)]
      m.call("fd_close", fd)
      return out
    },
  },
  {
    title: "lists an empty directory",
    run: (m) => {
      const fd = open(m, "empty", { flags: directory, rights: all })
      const errno = m.call("fd_readdir", fd, 8192, 4096, 0n, 512)
      m.call("fd_close", fd)
      return errno
    },
    differs: { ours: 0, because: "there is nothing wrong with a directory that is empty; node:wasi says inval" },
  },
  {
    title: "makes and removes directories",
    run: (m) => [
      path(m, "path_create_directory", "made"),
      path(m, "path_create_directory", "made"),
      path(m, "path_remove_directory", "folder"),
      path(m, "path_remove_directory", "made"),
      path(m, "path_remove_directory", "made"),
      path(m, "path_remove_directory", "hello.txt"),
    ],
  },
  {
    title: "unlinks",
    run: (m) => [path(m, "path_unlink_file", "link"), path(m, "path_unlink_file", "link"), path(m, "path_unlink_file", "hello.txt"), stat(m, "hello.txt")],
  },
  { title: "unlinks a directory", run: (m) => path(m, "path_unlink_file", "folder") },
  {
    title: "renames",
    run: (m) => {
      const rename = (from: string, to: string) => {
        const [a, b] = [m.put(1024, from), m.put(1536, to)]
        return m.call("path_rename", 3, 1024, a, 3, 1536, b)
      }
      return [
        rename("hello.txt", "folder/moved.txt"),
        stat(m, "hello.txt"),
        stat(m, "folder/moved.txt").size,
        rename("nothing", "x"),
        rename("folder", "empty"),
        rename("empty", "empty/below"),
      ]
    },
  },
  {
    title: "links",
    run: (m) => {
      const link = (from: string, to: string) => {
        const [a, b] = [m.put(1024, from), m.put(1536, to)]
        return m.call("path_link", 3, 0, 1024, a, 3, 1536, b)
      }
      return [link("hello.txt", "second"), stat(m, "second").links, link("hello.txt", "second"), link("nothing", "third"), link("folder", "fourth")]
    },
  },
  {
    title: "makes links",
    run: (m) => {
      const link = (target: string, at: string) => {
        const [a, b] = [m.put(1024, target), m.put(1536, at)]
        return m.call("path_symlink", 1024, a, 3, 1536, b)
      }
      return [link("hello.txt", "made"), opens(m, "made"), link("x", "made")]
    },
  },
  {
    title: "sets times",
    run: (m) => {
      const at = m.put(1024, "hello.txt")
      return [m.call("path_filestat_set_times", 3, 0, 1024, at, 1_000_000_000n, 2_000_000_000n, 5), stat(m, "hello.txt").modified]
    },
  },
  { title: "standard output takes what is written", run: (m) => [write(m, 1, "to standard output\n"), write(m, 2, "and error\n")] },
  { title: "standard input is read to its end", run: (m) => [read(m, 0, 8), read(m, 0, 100), read(m, 0, 100)] },
  {
    title: "what is not open",
    run: (m) => [
      m.call("fd_close", 77),
      read(m, 77, 1),
      write(m, 77, "x"),
      m.call("fd_fdstat_get", 77, 512),
      opens(m, "x", { from: 77 }),
      m.call("fd_renumber", 77, 3),
    ],
  },
  {
    title: "renumbers",
    run: (m) => {
      const [a, b] = [open(m, "hello.txt"), open(m, "folder/inner.txt")]
      const out = [m.call("fd_renumber", a, b), read(m, b, 5), read(m, a, 5), m.call("fd_close", b), m.call("fd_close", a)]
      return out
    },
  },
  {
    title: "rights are kept, and only given up",
    run: (m) => {
      const fd = open(m, "hello.txt", { rights: reading })
      const out = [
        write(m, fd, "x")[0],
        m.call("fd_fdstat_set_rights", fd, reading & ~2n, 0n),
        read(m, fd, 1)[0],
        m.call("fd_fdstat_set_rights", fd, reading, 0n),
      ]
      m.call("fd_close", fd)
      return out
    },
  },
  { title: "a poll of nothing", run: (m) => m.call("poll_oneoff", 1024, 2048, 0, 512) },
  {
    title: "a poll of a timer",
    run: (m) => {
      m.write(1024, new Uint8Array(48))
      m.setU64(1024, 42n)
      m.setU32(1040, 1)
      m.setU64(1048, 1_000_000n)
      return [m.call("poll_oneoff", 1024, 2048, 1, 512), m.u32(512), m.u64(2048), m.read(2056, 3)]
    },
  },
  {
    title: "sockets",
    run: (m) => [m.call("sock_shutdown", 3, 1), m.call("sock_shutdown", 77, 1)],
    differs: { ours: [57, 8], because: "a descriptor that is no socket is notsock; node:wasi has no rights to ask and says notcapable" },
  },
]

for (const { title, run, differs } of cases) {
  t.test(`${title}: as under node:wasi`, async (t) => {
    const [mine, other] = [tree(), tree()]
    const own = await ours(mine)
    const node = await theirs(other)
    const [got, wanted] = [run(own.machine), run(node.machine)]
    if (differs === undefined) t.same(got, wanted)
    else {
      t.same(got, differs.ours, differs.because)
      t.notSame(wanted, differs.ours, "it is a difference")
    }
    t.equal(own.output(), node.output())
    t.same(namesIn(join(mine, "box")), namesIn(join(other, "box")), "the trees are equal afterwards")
    await own.plugin.close()
  })
}

// ── What only this host promises ────────────────────────────────────────────

t.test("clocks and random without a grant are linked, answer notcapable, and are told to the observer", async (t) => {
  observer.drain()
  const { plugin, machine: m } = await ours(tree(), { grants: [], missing: "trap" })
  t.same([m.call("clock_time_get", 0, 1n, 512), m.call("clock_time_get", 1, 1n, 512), m.call("random_get", 512, 8)], [76, 76, 76])
  t.same([m.call("clock_res_get", 0, 512), m.call("clock_res_get", 1, 512)], [0, 0], "how fine a clock is tells no time")
  t.same(
    observer.drain().flatMap((event) => (event.type === "denial" ? [event.grant] : [])),
    ["clock:wall", "clock:monotonic", "random"],
  )
  const reportOf = (name: string) => plugin.describe().imports.find(({ functions }) => functions.includes(name))
  t.match(reportOf("random_get"), { status: "missing", grant: "random" })
  plugin.grant("random")
  t.equal(m.call("random_get", 512, 8), 0)
  t.match(reportOf("random_get"), { status: "granted" }, "the report is of now")
  await plugin.close()
})

t.test("a timer that is denied is an event, and does not end the others", async (t) => {
  const { plugin, machine: m } = await ours(tree(), { grants: [], missing: "trap" })
  m.write(1024, new Uint8Array(96))
  m.setU64(1024, 1n)
  m.setU64(1048, 3_600_000_000_000n)
  m.setU64(1072, 2n)
  m.write(1080, Uint8Array.of(2))
  m.setU32(1088, 1)
  t.equal(m.call("poll_oneoff", 1024, 2048, 2, 512), 0)
  t.equal(m.u32(512), 2)
  t.same([m.u64(2048), m.read(2056, 2)], [1n, Uint8Array.of(76, 0)])
  t.same([m.u64(2080), m.read(2088, 3)], [2n, Uint8Array.of(0, 0, 2)])
  await plugin.close()
})

t.test("the monotonic clock has steps of 100 µs unless the fine one is granted", async (t) => {
  const { plugin, machine: m } = await ours(tree(), { grants: ["clock:monotonic"], missing: "trap" })
  t.equal(m.call("clock_time_get", 1, 1n, 512), 0)
  t.equal(m.u64(512) % 100_000n, 0n)
  await plugin.close()
})

t.test("a directory that may only be read is not changed, in any way", async (t) => {
  const root = tree()
  const { plugin, machine: m } = await ours(root, { grants: [`fs:read:${join(root, "box")}`] })
  t.equal(opens(m, "hello.txt"), "opened")
  const rofs = 69
  t.equal(opens(m, "hello.txt", { rights: writing }), `errno ${rofs}`)
  t.equal(opens(m, "new.txt", { flags: creat, rights: writing }), `errno ${rofs}`)
  t.equal(opens(m, "hello.txt", { flags: trunc }), `errno ${rofs}`)
  t.same([path(m, "path_unlink_file", "hello.txt"), path(m, "path_create_directory", "x"), path(m, "path_remove_directory", "empty")], [rofs, rofs, rofs])
  const at = m.put(1024, "hello.txt")
  t.equal(m.call("path_filestat_set_times", 3, 0, 1024, at, 1n, 1n, 5), rofs)
  t.equal(m.call("path_symlink", 1024, at, 3, 1024, at), rofs)
  t.equal(readFileSync(join(root, "box/hello.txt"), "utf8"), "hello, world\n")
  await plugin.close()
})

t.test("a grant that is taken back closes a file that is open", async (t) => {
  const root = tree()
  const box = join(root, "box")
  const { plugin, machine: m } = await ours(root)
  const fd = open(m, "hello.txt", { rights: writing })
  t.same(read(m, fd, 5), [0, "hello"])
  plugin.revoke(`fs:write:${box}`)
  t.equal(write(m, fd, "x")[0], 69)
  plugin.revoke(`fs:read:${box}`)
  t.equal(read(m, fd, 5)[0], 2)
  await plugin.close()
})

t.test("what one call may name is bounded", async (t) => {
  const { plugin, machine: m } = await ours(tree())
  t.equal(m.call("fd_write", 1, 1024, 1025, 512), 28, "more than 1,024 buffers")
  m.write(1024, new Uint8Array(4_097).fill(97))
  t.equal(m.call("path_unlink_file", 3, 1024, 4_097), 37, "a path longer than 4,096 bytes")
  t.equal(m.call("path_unlink_file", 3, 1024, 0), 44, "no path at all")
  m.write(1024, Uint8Array.of(0xff, 0xfe))
  t.equal(m.call("path_unlink_file", 3, 1024, 2), 25, "bytes that are no text")
  m.write(1024, Uint8Array.of(97, 0, 98))
  t.equal(m.call("path_unlink_file", 3, 1024, 3), 25, "a zero byte")
  m.put(1024, "hello.txt")
  t.equal(m.call("path_filestat_set_times", 3, 0, 1024, 9, 1n, 1n, 3), 28, "two times at once")
  t.equal(m.call("poll_oneoff", 1024, 2048, 4_097, 512), 28, "more than 4,096 subscriptions")
  await plugin.close()
})

t.test("one call moves at most 1 MiB: the answer is short, and the program goes on", async (t) => {
  const root = tree()
  writeFileSync(join(root, "box/large"), new Uint8Array(3 << 20))
  const { plugin } = await ours(
    root,
    {},
    await wat(`(module
      (import "wasi_snapshot_preview1" "path_open" (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
      (memory (export "memory") 64)
      (data (i32.const 0) "large")
      (data (i32.const 16) "\\00\\00\\01\\00\\00\\00\\30\\00")
      (func (export "run") (result i32)
        (drop (call $open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 5) (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 32)))
        (drop (call $read (i32.load (i32.const 32)) (i32.const 16) (i32.const 1) (i32.const 36)))
        (i32.load (i32.const 36))))`),
  )
  const count = plugin.callSync("run", [] as never) as unknown as number
  t.ok(count > 0 && count <= 1 << 20, `${count}`)
  await plugin.close()
})

t.test("addresses outside the memory end the call with a typed error, and the next call works", async (t) => {
  const { plugin, machine: m } = await ours(tree())
  for (const [name, values] of [
    ["fd_write", [1, 0xffff_fff0, 1, 512]],
    ["random_get", [0x1fff0, 0x100]],
    ["args_get", [0xffff_ffff, 0]],
    ["poll_oneoff", [0x1ffff, 0, 1, 0]],
    ["fd_read", [0, 256, 1, 0xffff_fffe]],
  ] as const) {
    t.throws(() => m.call(name, ...values), { code: "STELE-PLG-0011" }, name)
    t.equal(m.call("sched_yield"), 0)
  }
  await plugin.close()
})

for (const metering of ["deadline", "fuel"] as const) {
  t.test(`a guest that sleeps for an hour is stopped at its deadline (${metering})`, async (t) => {
    const options = { metering, limits: { deadlineMs: 100, fuel: 1_000_000 } } as const
    const sleeper = await ours(tree(), { ...options, limits: { ...options.limits, deadlineMs: 400 } })
    const { machine: m } = sleeper
    m.write(1024, new Uint8Array(48))
    m.setU32(1040, 1)
    m.setU64(1048, 3_600_000_000_000n)
    let startedMs = performance.now()
    t.throws(() => m.call("poll_oneoff", 1024, 2048, 1, 512), { code: /^STELE-(CAP-0007|LIM-0010)$/ })
    t.ok(performance.now() - startedMs < 2_000)
    await sleeper.plugin.close()
    const reader = await ours(tree(), { ...options, wasi: { stdin: () => new Uint8Array(0) } })
    startedMs = performance.now()
    t.throws(() => read(reader.machine, 0, 10), { code: "STELE-LIM-0010" }, "input that never comes")
    t.ok(performance.now() - startedMs < 2_000)
    await reader.plugin.close()
  })
}

t.test("a program that waits holds the thread in `callSync` alone", async (t) => {
  let turns = 0
  const ticking = setInterval(() => turns++, 5)
  const waiting = await ours(tree(), {
    grants: ["clock:monotonic"],
    missing: "trap",
    wasi: { stdin: () => (turns > 4 ? new TextEncoder().encode("late") : new Uint8Array(0)) },
  })
  const { plugin, machine: m } = waiting
  m.setU32(256, 4096, 10)
  t.equal((await plugin.call("fd_read", [0, 256, 1, 512] as never)) as unknown, 0)
  t.equal(m.text(4096, m.u32(512)), "late", "input came while it waited")
  turns = 0
  m.write(1024, new Uint8Array(48))
  m.setU32(1040, 1)
  m.setU64(1048, 60_000_000n)
  t.equal((await plugin.call("poll_oneoff", [1024, 2048, 1, 512] as never)) as unknown, 0)
  t.ok(turns > 2, `${turns} turns of the event loop while it slept`)
  clearInterval(ticking)
  await plugin.close()
})

t.test("what a call costs in fuel is the same every time", async (t) => {
  const fuel: Array<bigint | undefined> = []
  for (let i = 0; i < 2; i++) {
    const { plugin } = await ours(tree(), { metering: "fuel", instances: { reuse: "never" } })
    const { usage } = await plugin.callWithUsage("environ_get", [1024, 2048] as never)
    fuel.push(usage.fuel)
    await plugin.close()
  }
  t.equal(fuel[0], fuel[1])
  t.ok((fuel[0] ?? 0n) > 0n)
})

// ── Commands, reactors, the older snapshot ──────────────────────────────────

const command = (body: string): Promise<Uint8Array> =>
  wat(`(module
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1)
    (func (export "_start") ${body}))`)

t.test("a command answers ok when `main` returns or exits with 0, and else with its code", async (t) => {
  for (const body of ["", "(call $exit (i32.const 0))"]) {
    await using plugin = await host.load(await command(body))
    t.same(
      plugin.describe().exports.map(({ name }) => name),
      ["wasi:cli/run@0.2.12#run"],
    )
    const { result, usage } = await plugin.callWithUsage("wasi:cli/run#run", [])
    t.equal(result, undefined)
    t.equal(usage.outcome, "ok")
    t.equal(plugin.instances, 0)
  }
  await using failing = await host.load(await command("(call $exit (i32.const 300))"), { instances: { reuse: "principal" } })
  await t.rejects(failing.call("wasi:cli/run#run", []), { code: "STELE-PLG-0012", reason: { status: 300 } })
  await using kept = await host.load(await command(""), { instances: { reuse: "principal" } })
  await kept.call("wasi:cli/run#run", [])
  t.equal(kept.instances, 0, "a command has run")
  await kept.call("wasi:cli/run#run", [])
})

t.test("an exit cannot be swallowed", async (t) => {
  await using plugin = await host.load(
    await wat(`(module
      (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
      (func (export "_start") (block $caught (try_table (catch_all $caught) (call $exit (i32.const 7)))) (loop (br 0))))`),
  )
  await t.rejects(plugin.call("wasi:cli/run#run", []), { code: "STELE-PLG-0012", reason: { status: 7 } })
})

t.test("each call may bring its own arguments and streams", async (t) => {
  const { plugin, machine: m } = await ours(tree())
  t.same(read(m, 0, 100), [0, "standard input"])
  t.equal(plugin.callSync("args_sizes_get", [512, 520] as never, { wasi: { args: ["other"] } }) as unknown, 0)
  t.equal(m.u32(512), 1)
  await plugin.close()
})

t.test("`wasi_unstable` has its own order of whence and its own filestat", async (t) => {
  // `node:wasi` serves it with the layouts of the later snapshot, so its witx alone is the measure.
  const some = ["fd_seek", "fd_close", "path_open", "path_filestat_get", "poll_oneoff"]
  const { plugin, machine: m } = await ours(tree(), {}, await machineModule("wasi_unstable", some))
  const fd = open(m, "hello.txt")
  const at = (by: bigint, whence: number) => [m.call("fd_seek", fd, by, whence, 512), m.u64(512)]
  t.same(
    [at(5n, 2), at(-1n, 0), at(-3n, 1)],
    [
      [0, 5n],
      [0, 4n],
      [0, 10n],
    ],
  )
  const length = m.put(1024, "hello.txt")
  t.equal(m.call("path_filestat_get", 3, 0, 1024, length, 512), 0)
  t.same([m.read(528, 1)[0], m.u32(532), m.u64(536), m.u64(552)], [4, 1, 13n, 1_500_000_000_000_000_000n], "links in 32 bits")
  m.write(1024, new Uint8Array(56))
  m.setU64(1024, 42n)
  m.setU32(1048, 1)
  m.setU64(1056, 1_000_000n)
  t.same([m.call("poll_oneoff", 1024, 2048, 1, 512), m.u64(2048), m.read(2056, 3)], [0, 42n, Uint8Array.of(0, 0, 0)], "a clock has an identifier before it")
  await plugin.close()
})

t.test("a function that preview 1 does not have is named, and so is one with another signature", async (t) => {
  const importing = (name: string, type: string): Promise<Uint8Array> => wat(`(module (import "wasi_snapshot_preview1" "${name}" (func ${type})))`)
  await t.rejects(host.load(await importing("thread_spawn", "(param i32) (result i32)")), { code: "STELE-VFY-0017", message: /thread_spawn/ })
  await t.rejects(host.load(await importing("fd_close", "(param i64) (result i32)")), { code: "STELE-VFY-0017", message: /fd_close/ })
  await t.rejects(host.load(await wat(`(module (func (export "_start") (param i32)))`)), { code: "STELE-VFY-0017", message: /_start/ })
})
