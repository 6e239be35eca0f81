// What a process that has been taken over can do besides sending damaged messages: drip, flood, grow, ask for what no guest
// of ours asks for, and claim what it cannot know.
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import t from "tap"
import type { CallContext } from "../../host/capability/capability.ts"
import { GrantSet, parseGrant } from "../../host/capability/grant.ts"
import { Crossing, type RemoteInstance } from "../../host/isolate/crossing.ts"
import { fileFunctions } from "../../host/isolate/files.ts"
import { Frames } from "../../host/isolate/frames.ts"
import { Isolate } from "../../host/isolate/remote.ts"
import type { Link } from "../../host/isolate/link.ts"
import { errorFrom } from "../../host/isolate/protocol.ts"
import { headerBytes, lengthWord } from "../../host/isolate/wire.ts"
import type { Linked } from "../../host/link/prepare.ts"
import { serverFileSystem } from "../../host/platform/file-system.ts"
import type { OpenDirectory } from "../../host/port/file-system.ts"
import { LimitError, SteleError } from "../../schemas/error/mod.ts"
import { resource } from "../../schemas/wit/model.ts"

const head = (length: number): Uint8Array => {
  const bytes = new Uint8Array(headerBytes)
  new DataView(bytes.buffer).setUint32(lengthWord * 4, length, true)
  return bytes
}
const silent = (): void => undefined

t.test("a message that comes byte by byte costs its bytes, not their square", async (t) => {
  const frames = new Frames(silent)
  const length = 200_000
  frames.owe(1 << 20)
  const next = frames.next()
  const startedMs = performance.now()
  for (const byte of head(length)) frames.push(Uint8Array.of(byte))
  for (let i = headerBytes; i < length; i++) frames.push(Uint8Array.of(i & 0xff))
  // By the square of them it was minutes.
  t.ok(performance.now() - startedMs < 30_000)
  const message = await next
  if (message === undefined || message === "garbage") return t.fail("it is a message")
  t.equal(message.length, length)
  t.equal(new Uint8Array(message.buffer)[length - 1], (length - 1) & 0xff)
})

t.test("what comes unasked, is too long or goes on is garbage, told at once", async (t) => {
  let told = 0
  const garbage = (act: (frames: Frames) => void) => {
    told = 0
    act(new Frames(() => told++))
    return told
  }
  t.equal(
    garbage((frames) => {
      frames.push(head(headerBytes))
      frames.push(head(headerBytes))
    }),
    1,
    "unasked",
  )
  const asked = (push: (frames: Frames) => void) =>
    garbage((frames) => {
      frames.owe(1_000)
      void frames.next()
      push(frames)
    })
  t.equal(
    asked((frames) => frames.push(head(1_001))),
    1,
    "too long",
  )
  t.equal(
    asked((frames) => frames.push(head(1))),
    1,
    "shorter than a header",
  )
  t.equal(
    asked((frames) => frames.push(new Uint8Array([...head(headerBytes), 1]))),
    1,
    "more than it says",
  )
  t.equal(
    asked((frames) => {
      for (let i = 0; i < 1_000; i++) frames.push(head(2_000))
    }),
    1,
    "a flood is told of once",
  )
  const frames = new Frames(silent)
  frames.push(head(headerBytes))
  frames.owe(1_000)
  t.equal(await frames.next(), "garbage")
})

t.test("as many messages as are owed come whole and in order, however they are cut", async (t) => {
  const lengths = [64, 100, 65, 5_000, 64]
  const all = new Uint8Array(lengths.reduce((sum, length) => sum + length, 0))
  lengths.reduce((at, length, i) => {
    all.set(head(length), at)
    all[at + 4] = i
    return at + length
  }, 0)
  for (const step of [1, 7, 63, 64, 65, 1_000, all.length]) {
    let told = 0
    const frames = new Frames(() => told++)
    for (const _ of lengths) frames.owe(5_000)
    for (let at = 0; at < all.length; at += step) frames.push(all.subarray(at, at + step))
    for (const [i, length] of lengths.entries()) {
      const message = await frames.next()
      if (message === undefined || message === "garbage") return t.fail(`message ${i} of steps of ${step}`)
      t.same([message.length, new Uint8Array(message.buffer)[4]], [length, i])
    }
    t.equal(told, 0)
    frames.push(head(64))
    t.equal(told, 1, "one more is garbage")
  }
  return undefined
})

t.test("a process that is owed answers cannot have its parent keep more than one may be long", async (t) => {
  let told = 0
  const frames = new Frames(() => told++)
  for (let i = 0; i < 16; i++) frames.owe(100_000)
  for (let i = 0; i < 16; i++) {
    const message = new Uint8Array(90_000)
    message.set(head(90_000))
    frames.push(message)
  }
  t.equal(told, 1)
  t.equal(await frames.next(), "garbage")
})

const linkedWith = (limits: object): Linked =>
  ({
    limits: { handlesMax: 10, residentBytesMax: 1_000, memoryBytesMax: 1_000, ...limits },
    blueprint: { imports: [], raws: [], resources: { has: () => true } },
    functions: new Map(),
    classes: new Map(),
    drops: new Map(),
  }) as unknown as Linked

t.test("a process is ended for what it holds between calls, too", async (t) => {
  const { promise: ended, resolve } = Promise.withResolvers<string>()
  let residentBytes = 10
  const link = { kind: "process", data: undefined, ended, residentBytes: () => residentBytes, kill: () => resolve("it was ended") } as unknown as Link
  const isolate = new Isolate(link, linkedWith({}), silent)
  isolate.isStarting = false
  residentBytes = 2_000
  // The watch itself keeps no program.
  const awake = setTimeout(silent, 120_000)
  t.equal(await ended, "it was ended")
  clearTimeout(awake)
})

t.test("resources that an isolate claims to have made are as many as handles may be", async (t) => {
  const crossing = new Crossing(linkedWith({}))
  const type = resource("thing")
  crossing.instance = { ownedOutside: 0, released: silent } as unknown as RemoteInstance
  const limit = (act: () => unknown): string => {
    try {
      for (let i = 0; i < 1_000; i++) act()
    } catch (error) {
      return error instanceof LimitError ? error.code : String(error)
    }
    return "no limit"
  }
  t.equal(
    limit(() => crossing.takeOwn(type, 1)),
    "STELE-LIM-0008",
  )
  t.equal(crossing.instance.ownedOutside, 10)
  t.equal(
    limit(() => crossing.lend(type, 1)),
    "STELE-LIM-0008",
  )
})

t.test("an isolate cannot say that a guest answered with an error: that is a result of its type", async (t) => {
  const told = errorFrom({
    family: "PluginError",
    reason: "Guest",
    data: [
      ["export", { tag: "text", val: "f" }],
      ["payload", { tag: "text", val: "x" }],
    ],
    message: undefined,
  })
  t.ok(told instanceof SteleError)
  t.equal(told.code, "STELE-ISO-0005")
})

t.test("files asked for by number keep to their limits wherever the isolate says that it writes, and links lead to no root", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "stele-hostile-"))
  t.teardown(() => rm(folder, { recursive: true }))
  await writeFile(join(folder, "file"), "12345")
  const root = serverFileSystem().root(folder)
  if (root.tag === "err") return t.fail(root.val)
  t.teardown(() => (root.val as OpenDirectory).close())
  const grants = new GrantSet([parseGrant(`fs:read:${folder}`), parseGrant(`fs:write:${folder}`)].map(({ text }) => text))
  const call = {
    grants,
    limits: { filesMax: 10, fileBytesMax: 8 },
    wasi: { preopens: [{ guest: "/", path: `${folder}/`, directory: root.val }] },
    atDiscard: silent,
    used: silent,
  } as unknown as CallContext
  const opened = fileFunctions.open.serve(call, 0, "file", { read: true, write: true, create: false, exclusive: false, truncate: false })
  if (opened.tag === "err") return t.fail(opened.val)
  const { number } = opened.val
  const bytes = new Uint8Array(4)
  for (const offset of [-1, -4, NaN, 0.5, Infinity, -Infinity, 2 ** 53]) {
    for (let i = 0; i < 4; i++) t.equal(fileFunctions.write.serve(call, number, bytes, offset).tag, "err", `write at ${offset}`)
    t.equal(fileFunctions.read.serve(call, number, 4, offset).tag, "err", `read at ${offset}`)
    t.equal(fileFunctions["set-size"].serve(call, number, offset).tag, "err", `size ${offset}`)
  }
  t.same(fileFunctions.write.serve(call, number, bytes, 4), { tag: "ok", val: 4 })
  t.equal((await readFile(join(folder, "file"))).length, 8)
  for (const target of ["/etc/passwd", "", "a\0b", "\\\\host\\share", "C:\\x"])
    t.equal(fileFunctions["make-link"].serve(call, 0, target, "link").tag, "err", JSON.stringify(target))
  t.equal(fileFunctions["make-link"].serve(call, 0, "file", "link").tag, "ok")
  t.same((await readdir(folder)).toSorted(), ["file", "link"])
  fileFunctions.close.serve(call, number)
})
