/** Processes that write to a sealed store, rotate its keys and exchange its master key are killed at any moment: nothing acknowledged is lost, everything opens. */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { mkdir, mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import t from "tap"
import type { ObjectStore } from "../../../../runtime/port/object.ts"
import type { Store } from "../../../../runtime/port/store.ts"
import { checkReferred } from "../../../../runtime/service/object-check.ts"
import { FolderStore } from "../../../../runtime/storage/folder/mod.ts"
import { guestBlob } from "../../../../runtime/storage/guest.ts"
import { masterFrom, resealAll, sealed, SealedObjects } from "../../../../runtime/storage/sealed/mod.ts"
import { Keyring } from "../../../../runtime/storage/sealed/keyring.ts"
import { run } from "../../../../runtime/storage/sealed/step.ts"
import { SqliteStore } from "../../../../runtime/storage/sqlite/mod.ts"
import { recordsOf } from "../../../../runtime/storage/record.ts"
import { get } from "../suite/case.ts"
import { isFull } from "../../../seed.ts"

t.setTimeout(600_000)
const rounds = isFull ? 60 : 10
const program = fileURLToPath(new URL("sealed-program.ts", import.meta.url))
const folder = await mkdtemp(join(tmpdir(), "stele-sealed-kill-"))
t.teardown(() => rm(folder, { recursive: true, force: true }))

/** A process of the program, once it has its store open; and what it has said. */
async function start(what: string, path: string): Promise<{ readonly said: () => ReadonlyArray<string>; readonly kill: () => Promise<void> }> {
  const child = spawn(process.execPath, [program, what, path], { stdio: ["ignore", "pipe", "pipe"] })
  const exited = once(child, "close")
  t.teardown(() => child.kill("SIGKILL"))
  let [out, errors] = ["", ""]
  child.stderr.on("data", (chunk: Buffer) => (errors += chunk.toString()))
  await new Promise<void>((resolve, reject) => {
    child.stdout.on("data", (chunk: Buffer) => {
      out += chunk.toString()
      resolve()
    })
    child.once("exit", () => reject(new Error(`${what} has ended: ${errors}`)))
  })
  return {
    said: () => out.split("\n").slice(1, -1),
    async kill() {
      if (child.exitCode !== null) throw new Error(`${what} has ended by itself: ${errors}`)
      child.kill("SIGKILL")
      await exited
    },
  }
}

/** By whichever of the two master keys opens it; both, while they are exchanged. */
async function opened(below: Store, objects: ObjectStore): Promise<{ readonly store: Store; readonly keyring: Keyring }> {
  let refusal: unknown
  for (const byte of [1, 2]) {
    const keyring = new Keyring(below, masterFrom(new Uint8Array(32).fill(byte)), objects)
    try {
      await run(below, keyring.open(true))
      return { store: sealed(below, keyring), keyring }
    } catch (error) {
      refusal = error
    }
  }
  throw refusal
}

/** Payloads of a tenant's jobs. */
const jobsOf = async (store: Store, tenant: string): Promise<ReadonlyArray<string>> =>
  (await Array.fromAsync(recordsOf(store, Buffer.from(tenant), "queue"))).flatMap(({ fields }) =>
    fields["payload"] instanceof Uint8Array ? [Buffer.from(fields["payload"]).toString()] : [],
  )

t.test(`${rounds} kills in the middle of rotations, reseals and exchanges of the master key, while another process writes`, async (t) => {
  const path = join(folder, "killed.db")
  await mkdir(`${path}-objects`)
  const newest = new Map<string, number>()
  let done = 0
  for (let round = 0; round < rounds; round++) {
    const [writer, keeper] = await Promise.all([start("write", path), start(round % 2 === 0 ? "rotate" : "master", path)])
    await new Promise((resume) => setTimeout(resume, 30 + ((round * 37) % 170)))
    for (const { kill } of round % 3 === 0 ? [writer, keeper] : [keeper, writer]) await kill()
    done += keeper.said().length
    // Numbers begin again in each process: the newest of the last one that said any counts.
    const said = new Map<string, number>()
    for (const line of writer.said()) {
      const [tenant = "", number = ""] = line.split(" ")
      said.set(tenant, Number(number))
    }
    for (const [tenant, number] of said) newest.set(tenant, number)
    await using below = await SqliteStore.open(path)
    await using objects = await FolderStore.open(`${path}-objects`)
    const { store, keyring } = await opened(below, objects)
    t.same(await store.check(), [], `check after kill ${round + 1}`)
    t.same(await checkReferred(below, objects), [], `objects after kill ${round + 1}`)
    for (const [tenant, number] of said) {
      t.ok(Number(await get(store, "newest", tenant)) >= number, `${tenant} has ${number}`)
      const object = Buffer.from((await guestBlob(store, objects, new SealedObjects(keyring, objects)).get(`${tenant}/blob`)) ?? []).toString()
      t.ok(Number(/^object (\d+) /.exec(object)?.[1]) >= number, `${tenant} has the object of ${number}`)
      const jobs = await jobsOf(store, tenant)
      t.ok(jobs.includes(String(number)), `${tenant} has job ${number} among ${jobs.length}`)
    }
  }
  await using below = await SqliteStore.open(path)
  await using objects = await FolderStore.open(`${path}-objects`)
  const { store, keyring } = await opened(below, objects)
  await resealAll(keyring)
  t.same(await store.check(), [])
  t.equal(newest.size, 4)
  t.ok(done > 0, `${done} rotations were done to their end`)
})
