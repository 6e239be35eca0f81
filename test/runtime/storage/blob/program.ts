/**
 * A process that works on a folder of objects. `write FOLDER` keeps objects, small and large, and says each digest once it is
 * acknowledged; `upload FOLDER [ID]` writes on and on and says its id; `collect FOLDER GRACE` collects what is older, on
 * and on; `share FOLDER COUNT` keeps the same objects as its neighbours; `conform FOLDER` does everything once.
 */
import { writeSync } from "node:fs"
import type { Digest } from "../../../../runtime/port/object.ts"
import { bytesFrom } from "./cases.ts"
import { FolderStore } from "../../../../runtime/storage/folder/mod.ts"

const [what = "", folder = "", third = ""] = process.argv.slice(2)
const none = async (digests: ReadonlyArray<Digest>) => digests.map(() => false)

async function conform(store: FolderStore): Promise<object> {
  const small = bytesFrom("small", 1_000)
  const large = bytesFrom("large", 3_000_001)
  const digests = [(await store.put(small)).digest, store.blocking.put(bytesFrom("blocking", 200_000)).digest]
  let upload = await store.upload()
  await upload.write(large.subarray(0, 1_234_567))
  await upload.suspend()
  upload = await store.resume(upload.id)
  const resumedAt = upload.bytes
  await upload.write(large.subarray(resumedAt))
  digests.push((await upload.commit()).digest)
  const part = Buffer.from((await store.read(digests[2] as Digest, 2_000_000, 2_000_100)) as Uint8Array)
  let streamed = 0
  for await (const piece of (await store.stream(digests[2] as Digest)) ?? []) streamed += piece.length
  const collected = await store.collect({ isLive: async (asked) => asked.map((digest) => digest !== digests[0]), graceMs: 60_000 })
  return {
    resumedAt,
    part: part.equals(large.subarray(2_000_000, 2_000_100)),
    streamed,
    objects: (await store.list(undefined, 10)).length,
    collected: collected.objects,
    check: await store.check(digests.slice(1)),
  }
}

const store = await FolderStore.open(folder)
if (what === "write") {
  const keep = async (writer: number): Promise<never> => {
    for (let i = 0; ; i++) {
      const bytes = bytesFrom(`${process.pid}-${writer}-${i}`, i % 3 === 2 ? 90_000 + i : 300)
      const { digest } = await store.put(bytes)
      writeSync(1, `${digest}\n`)
    }
  }
  await Promise.all([0, 1, 2, 3].map(keep))
} else if (what === "upload") {
  const upload = third === "" ? await store.upload() : await store.resume(third)
  writeSync(1, `${upload.id} ${upload.bytes}\n`)
  // The bytes at each place are what their MiB says, so that whoever goes on knows them.
  for (;;) {
    const mib = Math.floor(upload.bytes / 2 ** 20)
    await upload.write(bytesFrom(`mib ${mib}`, 2 ** 20).subarray(upload.bytes % 2 ** 20))
    writeSync(1, `${upload.id} ${upload.bytes}\n`)
  }
} else if (what === "collect") {
  writeSync(1, "ready\n")
  for (;;) await store.collect({ isLive: none, graceMs: Number(third) })
} else if (what === "share") {
  const digests: Array<Digest> = []
  for (let i = 0; i < Number(third); i++) digests.push((await store.put(bytesFrom(`shared ${i}`, i % 4 === 3 ? 70_000 : 500))).digest)
  console.log(JSON.stringify(digests))
  await store.close()
} else {
  console.log(JSON.stringify(await conform(store)))
  await store.close()
}
