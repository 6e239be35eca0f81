/**
 * A process on a store with its objects: `collect ADDRESS` collects without a grace time but for `graceMs`, again and again, and says "." after each; `write
 * ADDRESS` puts objects, links and unlinks them, and says what it has linked; `idle ADDRESS` opens a host and does nothing.
 */
import { once } from "node:events"
import { Host } from "../../../runtime/mod.ts"
import { collectGarbage } from "../../../runtime/service/garbage.ts"
import { openStores } from "../../../runtime/storage/storage.ts"

const [what = "", address = "", graceMs = "2000", seed = "0"] = process.argv.slice(2)
const tenant = new TextEncoder().encode(`writer-${seed}`)

if (what === "idle") {
  await Host.open({ storage: address, upkeep: { sweepMs: 5, lookMs: 5 } })
  console.log("open")
} else {
  const { store, objects } = await openStores(address)
  for (let i = 0; ; i++) {
    if (what === "collect") {
      const { objects: count } = await collectGarbage(store, objects, { graceMs: Number(graceMs) })
      if (!process.stdout.write(`${count}\n`)) await once(process.stdout, "drain")
      continue
    }
    // Every other one is never seen again; the rest are put and linked again when they are old enough to be collected.
    const content = Buffer.from(`content ${seed} ${i % 2 === 0 ? i % 202 : i} `.repeat(i % 17 === 3 ? 6_000 : 1))
    const key = Buffer.from(`k${i % 5}`)
    const { digest, bytes } = await objects.put(content)
    await store.apply([{ op: "link", tenant, key, digest: Buffer.from(digest, "hex"), bytes }])
    if (!process.stdout.write(`${digest}\n`)) await once(process.stdout, "drain")
    if (i % 3 === 0) await store.apply([{ op: "unlink", tenant, key }])
  }
}
