/** A process that keeps objects on an S3 server: `ADDRESS`; the key comes from the environment. */
import type { Digest } from "../../../../runtime/port/object.ts"
import { S3Store } from "../../../../runtime/storage/s3/mod.ts"
import { bytesFrom } from "./cases.ts"

const store = await S3Store.open(process.argv[2] ?? "", { load: () => import("@aws-sdk/client-s3"), limits: { partBytes: 5 << 20 } })
const large = bytesFrom("large", 11_000_001)
const { digest } = await store.put(large)
await store.put(bytesFrom("small", 10))
const read = Buffer.from((await store.read(digest)) as Uint8Array).equals(large)
const part = Buffer.from((await store.read(digest, 7_000_000, 7_100_000)) as Uint8Array).equals(large.subarray(7_000_000, 7_100_000))
const listed: ReadonlyArray<Digest> = await store.list(undefined, 10)
console.log(JSON.stringify({ read, part, listed: listed.length, check: await store.check() }))
await store.close()
