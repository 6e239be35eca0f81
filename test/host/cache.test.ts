import { spawn } from "node:child_process"
import { createHash } from "node:crypto"
import { once } from "node:events"
import { chmod, mkdtemp, readFile, readdir, rename, rm, stat, utimes, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout } from "node:timers/promises"
import { fileURLToPath } from "node:url"
import t from "tap"
import { type ModuleCacheCounts, type RewriteKey, cacheKey, createModuleCache, keyText } from "../../host/meter/cache.ts"
import { webDigests } from "../../host/meter/digests.ts"
import { sealedIn } from "../../host/meter/sealed.ts"
import { injectedNameBytes } from "../../host/meter/needs.ts"
import { openFolderCache } from "../../host/platform/cache-folder.ts"
import type { CacheStore } from "../../host/platform/platform.ts"
import { answer, engines } from "./engine.ts"
import { Module } from "./wasm-builder.ts"
import { isFull } from "../seed.ts"

t.setTimeout(300_000)
const folders: Array<string> = []
const newFolder = async (): Promise<string> => {
  const folder = await mkdtemp(join(tmpdir(), "stele-cache-"))
  folders.push(folder)
  return folder
}
t.teardown(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true }))))

const nameA = "A".repeat(injectedNameBytes)
const nameB = "B".repeat(injectedNameBytes)
const key: RewriteKey = {
  coreDigest: "00".repeat(32),
  tier: "deadline-epoch",
  costTableVersion: 1,
  instrumenterVersion: 1,
  memoryPagesMax: 16,
  tableElementsMax: 100,
  features: ["simd", "bulk-memory"],
}

/** A "rewritten" module that imports one function under the injected name, twice. */
function rewritten(name: string) {
  const m = new Module()
  m.importFunc(name, "tick", [], [])
  m.importFunc(name, "tock", [], [])
  const bytes = m.bytes()
  const text = Buffer.from(bytes).toString("latin1")
  return { bytes, nameOffsets: [text.indexOf(name), text.lastIndexOf(name)], notes: { needs: ["epoch"], at: 7 } }
}

/** A store in memory that a test can look into. */
function memoryStore(entries = new Map<string, Uint8Array>(), secret = new Uint8Array(32).fill(7)): CacheStore & { readonly entries: Map<string, Uint8Array> } {
  return {
    entries,
    secret,
    get: async (name) => entries.get(name)?.slice(),
    put: async (name, value) => void entries.set(name, value.slice()),
    drop: async (name) => void entries.delete(name),
  }
}

const cacheOver = (store: CacheStore | undefined, injectedName = nameA, memoryBytesMax = 1 << 20) =>
  createModuleCache({ disk: store && sealedIn(store, webDigests), injectedName, memoryBytesMax })
const moduleNames = (module: WebAssembly.Module): ReadonlyArray<string> => WebAssembly.Module.imports(module).map((found) => found.module)
const never = (): never => {
  throw new Error("rewritten again")
}

t.test("`compile()` answers from the rewriter, then memory, and from disk in the next process", async (t) => {
  const store = memoryStore()
  const first = cacheOver(store)
  t.match(await first.compile(key, () => rewritten(nameA)), { from: "rewriter", notes: { needs: ["epoch"], at: 7 } })
  t.match(await first.compile(key, never), { from: "memory", notes: { at: 7 } })
  await first.flush()
  const entry = Buffer.from(store.entries.values().next().value as Uint8Array)
  t.equal(entry.indexOf(nameA), -1, "the process's name is not on disk")
  const next = cacheOver(store, nameB)
  const found = await next.compile(key, never)
  t.match(found, { from: "disk", notes: { needs: ["epoch"], at: 7 } })
  t.same(moduleNames(found.module), [nameB, nameB], "and the next process's name is in the module")
  t.match(next.counts, { diskHits: 1, misses: 0, dropped: 0 })
})

t.test("`cacheKey()` changes when any field changes, and not with the order of features", async (t) => {
  const changes: ReadonlyArray<Partial<RewriteKey>> = [
    {},
    { coreDigest: "01".repeat(32) },
    { tier: "fuel" },
    { costTableVersion: 2 },
    { instrumenterVersion: 2 },
    { memoryPagesMax: 17 },
    { tableElementsMax: 101 },
    { features: ["simd"] },
    { features: ["simd", "bulk-memory", "tail-call"] },
    { options: { stackBytesMax: 1 } },
    { options: { stackBytesMax: 2 } },
  ]
  const keys = await Promise.all(changes.map((change) => cacheKey({ ...key, ...change })))
  t.equal(new Set(keys).size, changes.length)
  for (const found of keys) t.match(found, /^[0-9a-f]{64}$/)
  t.equal(await cacheKey({ ...key, features: ["bulk-memory", "simd"] }), keys[0])
  t.equal(createHash("sha256").update(keyText(key)).digest("hex"), keys[0])
})

t.test("`compile()` rewrites again when any bit of the entry was flipped, and when it was cut anywhere", async (t) => {
  const store = memoryStore()
  const cache = cacheOver(store)
  await cache.compile(key, () => rewritten(nameA))
  await cache.flush()
  const name = await cacheKey(key)
  const good = store.entries.get(name) as Uint8Array
  const damaged = async (bytes: Uint8Array): Promise<ModuleCacheCounts> => {
    store.entries.set(name, bytes)
    const next = cacheOver(store)
    const found = await next.compile(key, () => rewritten(nameA))
    await next.flush()
    t.equal(found.from, "rewriter")
    t.same(Buffer.from(store.entries.get(name) as Uint8Array), Buffer.from(good), "and writes a good one")
    return next.counts
  }
  for (let bit = 0; bit < good.length * 8; bit++) {
    const bytes = good.slice()
    bytes[bit >> 3] = (bytes[bit >> 3] as number) ^ (1 << (bit & 7))
    t.match(await damaged(bytes), { misses: 1, dropped: 1 })
  }
  for (let length = 0; length < good.length; length++) t.match(await damaged(good.slice(0, length)), { misses: 1, dropped: 1 })
  t.match(await damaged(Buffer.concat([good, good])), { dropped: 1 })
})

t.test("`compile()` refuses an entry when it was sealed under another key or another installation's secret", async (t) => {
  const store = memoryStore()
  const cache = cacheOver(store)
  await cache.compile(key, () => rewritten(nameA))
  await cache.flush()
  const sealed = store.entries.get(await cacheKey(key)) as Uint8Array
  const other = { ...key, tier: "off" }
  store.entries.set(await cacheKey(other), sealed)
  t.equal((await cache.compile(other, () => rewritten(nameA))).from, "rewriter")
  t.equal(cache.counts.dropped, 1)
  const foreign = cacheOver(memoryStore(store.entries, new Uint8Array(32).fill(8)))
  t.equal((await foreign.compile(key, () => rewritten(nameA))).from, "rewriter")
  t.equal(foreign.counts.dropped, 1)
})

t.test("`compile()` works when the store fails in every way", async (t) => {
  const fail = () => Promise.reject(new Error("broken"))
  const cache = cacheOver({ secret: new Uint8Array(32), get: fail, put: fail, drop: fail })
  t.equal((await cache.compile(key, () => rewritten(nameA))).from, "rewriter")
  await cache.flush()
  t.equal((await cacheOver(undefined).compile(key, () => rewritten(nameA))).from, "rewriter")
})

t.test("`compile()` shares one rewrite when asked several times at once, and keeps no failure", async (t) => {
  const cache = cacheOver(undefined)
  let rewrites = 0
  const results = await Promise.all(
    Array.from({ length: 5 }, () =>
      cache.compile(key, () => {
        rewrites++
        return rewritten(nameA)
      }),
    ),
  )
  t.equal(rewrites, 1)
  t.equal(new Set(results.map(({ module }) => module)).size, 1)
  const other = { ...key, tier: "fuel" }
  await t.rejects(cache.compile(other, never), { message: "rewritten again" })
  await t.rejects(
    cache.compile(other, () => ({ ...rewritten(nameA), bytes: new Uint8Array(4) })),
    WebAssembly.CompileError,
  )
  t.equal((await cache.compile(other, () => rewritten(nameA))).from, "rewriter")
})

t.test("`compile()` forgets what was unused longest when memory is full", async (t) => {
  const { length } = rewritten(nameA).bytes
  const cache = cacheOver(undefined, nameA, length * 2)
  const get = async (tier: string) => (await cache.compile({ ...key, tier }, () => rewritten(nameA))).from
  t.same([await get("a"), await get("b"), await get("a"), await get("c")], ["rewriter", "rewriter", "memory", "rewriter"])
  t.equal(cache.counts.memoryBytes, length * 2)
  t.same([await get("a"), await get("b")], ["memory", "rewriter"])
  const none = cacheOver(undefined, nameA, 0)
  await none.compile(key, () => rewritten(nameA))
  t.equal(none.counts.memoryBytes, 0)
})

t.test("`createModuleCache()` refuses a name when it has another length", async (t) => {
  t.throws(() => cacheOver(undefined, "short"), RangeError)
})

// --- the folder ---

const keyOf = (n: number): string => n.toString(16).padStart(32, "0")

t.test("`openFolderCache()` makes a private folder and one key, and reads back what was put", async (t) => {
  const folder = join(await newFolder(), "a", "b")
  const cache = (await openFolderCache(folder, 1 << 20)) as CacheStore
  t.equal((await stat(folder)).mode & 0o777, 0o700)
  t.equal((await stat(join(folder, "key"))).mode & 0o777, 0o600)
  t.equal(cache.secret.length, 32)
  await cache.put(keyOf(1), new Uint8Array([1, 2, 3]))
  t.same(await cache.get(keyOf(1)), new Uint8Array([1, 2, 3]))
  t.equal((await stat(join(folder, `m-${keyOf(1)}`))).mode & 0o777, 0o600)
  t.same((await openFolderCache(folder, 1 << 20))?.secret, cache.secret)
  await cache.drop(keyOf(1))
  t.equal(await cache.get(keyOf(1)), undefined)
  await cache.drop(keyOf(1))
  for (const bad of ["", "../key", "KEY", `${keyOf(1)}/..`]) {
    await cache.put(bad, new Uint8Array(1))
    t.equal(await cache.get(bad), undefined)
  }
  t.same(await readdir(folder), ["key"])
})

t.test("`openFolderCache()` replaces the key when it is cut or readable by others, and closes the folder to others", async (t) => {
  const folder = await newFolder()
  const first = (await openFolderCache(folder, 1 << 20)) as CacheStore
  await writeFile(join(folder, "key"), first.secret.slice(0, 5))
  const second = (await openFolderCache(folder, 1 << 20)) as CacheStore
  t.equal(second.secret.length, 32)
  t.notSame(second.secret, first.secret)
  await chmod(join(folder, "key"), 0o644)
  await chmod(folder, 0o777)
  const third = (await openFolderCache(folder, 1 << 20)) as CacheStore
  t.notSame(third.secret, second.secret)
  t.equal((await stat(folder)).mode & 0o777, 0o700)
})

t.test("`openFolderCache()` answers undefined when the folder cannot be had", async (t) => {
  const folder = await newFolder()
  await writeFile(join(folder, "file"), "")
  t.equal(await openFolderCache(join(folder, "file"), 1), undefined)
  t.equal(await openFolderCache(join(folder, "file", "below"), 1), undefined)
  t.equal(await openFolderCache("/proc/stele", 1), undefined)
})

t.test("`put()` writes nothing and throws nothing when the folder has gone", async (t) => {
  const folder = await newFolder()
  const cache = (await openFolderCache(folder, 1 << 20)) as CacheStore
  await rename(folder, `${folder}-gone`)
  folders.push(`${folder}-gone`)
  await cache.put(keyOf(1), new Uint8Array(8))
  t.equal(await cache.get(keyOf(1)), undefined)
})

t.test("`put()` keeps the folder below its size when entries add up, oldest use first, foreign files untouched", async (t) => {
  const folder = await newFolder()
  const cache = (await openFolderCache(folder, 100_000)) as CacheStore
  await writeFile(join(folder, "notes.txt"), "x".repeat(1000))
  const stale = join(folder, `t-${"0".repeat(32)}`)
  await writeFile(stale, "left by a killed writer")
  await utimes(stale, new Date(0), new Date(0))
  for (let i = 0; i < 40; i++) {
    await cache.put(keyOf(i), new Uint8Array(10_000))
    // Distinct times of use, oldest first, whatever the file system's clock resolves.
    await utimes(join(folder, `m-${keyOf(i)}`), new Date(1e12 + i * 1000), new Date(1e12 + i * 1000)).catch(() => undefined)
  }
  await cache.put(keyOf(99), new Uint8Array(60_000))
  t.equal(await cache.get(keyOf(99)), undefined, "larger than half of everything")
  const left = await readdir(folder)
  const entries = left.filter((name) => name.startsWith("m-"))
  t.ok(entries.length <= 11 && entries.length >= 5, `${entries.length} entries left`)
  t.ok(entries.includes(`m-${keyOf(39)}`))
  t.ok(left.includes("notes.txt"))
  t.notOk(left.includes(`t-${"0".repeat(32)}`))
})

t.test("`put()` leaves no partial entry when the disk refuses the bytes", async (t) => {
  const folder = await newFolder()
  // A limit on the size of files stands in for a full disk: writes fail half-way (EFBIG).
  const program = fileURLToPath(new URL("platform-program.ts", import.meta.url))
  const child = spawn("sh", ["-c", `trap '' XFSZ; ulimit -f 1; exec "$0" "$1" cache 3`, process.execPath, program], {
    env: { ...process.env, STELE_CACHE: folder },
  })
  let stdout = ""
  child.stdout.on("data", (data) => (stdout += data))
  const [status] = (await once(child, "close")) as [number]
  t.equal(status, 0)
  t.match(JSON.parse(stdout), { open: true, same: 0 })
  for (const name of await readdir(folder)) t.ok(name === "key" || (await stat(join(folder, name))).size === 4000, name)
})

t.test("an entry is whole or missing when its writer is killed at any moment", async (t) => {
  const folder = await newFolder()
  const program = fileURLToPath(new URL("platform-program.ts", import.meta.url))
  const kills = isFull ? 100 : 10
  let seen = 0
  for (let i = 0; i < kills; i++) {
    const child = spawn(process.execPath, [program, "write"], { env: { ...process.env, STELE_CACHE: folder }, stdio: ["ignore", "pipe", "inherit"] })
    await once(child.stdout, "data")
    // Even rounds kill among the first writes, odd ones among later ones: some entry is then whole however slow the disk is.
    const late = i % 2 === 1
    for (let whole = !late; !whole; whole = (await readdir(folder)).some((name) => name.startsWith("m-"))) await setTimeout(1)
    // A different number of turns of this loop, each a read of the folder, before the kill.
    for (let turns = 0; turns < i * 3; turns++) await readdir(folder)
    child.kill("SIGKILL")
    await once(child, "close")
    const cache = (await openFolderCache(folder, 256 << 20)) as CacheStore
    t.equal(cache.secret.length, 32)
    for (let n = 0; n < 4; n++) {
      const bytes = await cache.get(keyOf(n))
      if (bytes === undefined) continue
      seen++
      t.ok(bytes.length === 262_144 && bytes.every((byte) => byte === bytes[0]))
    }
  }
  t.ok(seen > 0, `${seen} entries read`)
})

t.test("processes of three engines agree on one key and read whole entries when they start on one empty folder at once", async (t) => {
  const folder = await newFolder()
  const found = await Promise.all(
    engines
      .flatMap((engine) => [engine, engine])
      .map((engine) =>
        answer<{ readonly open: boolean; readonly same: number; readonly secret: string }>(engine, "platform-program.ts", ["cache", "50"], {
          env: { STELE_CACHE: folder },
        }),
      ),
  )
  for (const { open, same } of found) t.ok(open && same === 50, `${same} of 50 read back`)
  t.equal(new Set(found.map(({ secret }) => secret)).size, 1)
  t.equal(
    found[0]?.secret,
    createHash("sha256")
      .update(await readFile(join(folder, "key")))
      .digest("hex"),
  )
  t.same(
    (await readdir(folder)).filter((name) => name.startsWith("t-")),
    [],
  )
})
