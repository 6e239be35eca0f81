/** A disk that is really full, and one that is mounted read-only: a file system of a few MiB, which only root can mount. */
import { spawnSync } from "node:child_process"
import { mkdtemp, rm, unlink, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import t from "tap"
import { placeOf } from "../../../runtime/port/place.ts"
import { FolderStore } from "../../../runtime/storage/folder/mod.ts"
import { SqliteStore } from "../../../runtime/storage/sqlite/mod.ts"
import { stele } from "../command-line.ts"

t.setTimeout(120_000)
const disk = await mkdtemp(join(tmpdir(), "stele-disk-"))
const mount = (...args: ReadonlyArray<string>): boolean => spawnSync("mount", [...args, disk]).status === 0
const isMounted = mount("-t", "tmpfs", "-o", "size=6m", "tmpfs")
const skip = isMounted ? false : "this user cannot mount a file system"
t.teardown(async () => {
  if (isMounted) spawnSync("umount", [disk])
  await rm(disk, { recursive: true, force: true })
})

/** Takes what room is left, in ever smaller pieces. */
async function fill(): Promise<void> {
  for (let bytes = 1 << 20; bytes > 0; bytes >>= 1)
    for (let n = 0; ; n++)
      if (
        !(await writeFile(join(disk, `filling-${bytes}-${n}`), new Uint8Array(bytes)).then(
          () => true,
          () => false,
        ))
      )
        break
}

async function makeRoom(): Promise<void> {
  for (let bytes = 1 << 20; bytes > 0; bytes >>= 1)
    for (let n = 0; ; n++)
      if (
        !(await unlink(join(disk, `filling-${bytes}-${n}`)).then(
          () => true,
          () => false,
        ))
      )
        break
}

/** Writes again and again, and answers how often that was taken and what it ended with. */
async function untilRefused(write: (i: number) => Promise<unknown>): Promise<{ readonly count: number; readonly refused: unknown }> {
  for (let count = 0; ; count++) {
    try {
      await write(count)
    } catch (refused) {
      return { count, refused }
    }
  }
}

t.test(
  "a store on a disk that is full refuses writes, answers reads, and takes writes again when there is room, without being opened again",
  { skip },
  async (t) => {
    await using store = await SqliteStore.open(join(disk, "store.db"))
    const set = (name: string, bytes: number) => store.apply([{ op: "set", ...placeOf(`ada/${name}`), value: new Uint8Array(bytes) }])
    await set("first", 100)
    await fill()
    // What the log has room for is still taken.
    const { count, refused } = await untilRefused((i) => set(`k${i}`, 20_000))
    t.match(refused, { code: "STELE-STO-0007", reason: { _tag: "Failed" } })
    t.throws(() => store.applySync([{ op: "set", ...placeOf("ada/blocking"), value: new Uint8Array(200_000) }]), { code: "STELE-STO-0007" })
    t.equal((await store.ask({ ask: "get", ...placeOf("ada/first") }))?.value.length, 100)
    t.notOk(await store.ask({ ask: "has", ...placeOf(`ada/k${count}`) }), "nothing of what was refused")
    await makeRoom()
    await set("after", 20_000)
    t.same(await store.check(), [])
    for (let i = 0; i < count; i++) if (!(await store.ask({ ask: "has", ...placeOf(`ada/k${i}`) }))) t.fail(`k${i} was acknowledged`)
  },
)

t.test("a folder of objects on a disk that is full refuses, keeps what it has, and goes on when there is room", { skip }, async (t) => {
  await using objects = await FolderStore.open(join(disk, "objects"))
  const kept = [await objects.put(Buffer.from("first"))]
  await fill()
  for (const bytes of [2_000, 300_000]) {
    const { refused } = await untilRefused(async (i) => kept.push(await objects.put(Buffer.alloc(bytes, `${bytes} ${i} `))))
    t.match(refused, { code: "STELE-STO-0007" }, `${bytes} bytes`)
  }
  await makeRoom()
  kept.push(await objects.put(Buffer.alloc(300_000, 9)))
  t.same(await objects.check(kept.map(({ digest }) => digest)), [])
})

t.test("a store on a disk that is mounted read-only is looked at and checked, and refused by name to who would write", { skip }, async (t) => {
  await (await SqliteStore.open(join(disk, "fixed.db"))).close()
  t.ok(mount("-o", "remount,ro"))
  try {
    const address = `sqlite:${join(disk, "store.db")}`
    t.equal(stele(["storage", "info", address]).code, 0)
    t.equal(stele(["storage", "check", address]).code, 0)
    t.match(await SqliteStore.open(join(disk, "store.db")).catch((error: unknown) => error), { code: "STELE-STO-0002", reason: { _tag: "Unreachable" } })
    t.match(stele(["doctor", address, "--json"]), { code: 3, stdout: /mounted read-only/ })
  } finally {
    mount("-o", "remount,rw")
  }
})
