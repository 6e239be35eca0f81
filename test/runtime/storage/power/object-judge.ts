/** Objects in a folder that `object-program.ts` put and deleted, and the judge of them. */
import { createHash } from "node:crypto"
import { join } from "node:path"
import { FolderStore } from "../../../../runtime/storage/folder/mod.ts"
import { randomFrom } from "../random.ts"

/** The store's name in the recorded folder: it makes its folder itself. */
export const objectsFolder = "objects"
export const isObjectIgnored = (path: string): boolean => path === `${objectsFolder}/catalogue.db-shm`

/** Small ones become rows, large ones files. */
export const limits = { rowBytesMax: 2_000 }

/** The bytes of object `n`, no two alike. */
export function objectOf(seed: number, n: number): Buffer {
  const random = randomFrom(seed ^ Math.imul(n + 1, 0x9e37_79b1))
  const bytes = Buffer.alloc(random(3) === 0 ? 2_001 + random(30_000) : 10 + random(1_500))
  for (let at = 0; at < bytes.length; at++) bytes[at] = random(256)
  bytes.write(`${n}:`)
  return bytes
}

const digestOf = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex")

/**
 * A judge for `count` objects. Each note is `ask put N`, `done put N`, `ask delete N` or `done delete N`; the calls for one object
 * follow on each other, so the last that is done decides, unless another was asked for after it.
 */
export function objectJudgeOf(seed: number, count: number): (folder: string, notes: string) => Promise<string | undefined> {
  const objects = Array.from({ length: count }, (_, n) => objectOf(seed, n))
  const digests = objects.map(digestOf)
  return async (folder, notes) => {
    const last = new Map<number, string>()
    for (const line of notes.split("\n")) {
      const [what = "", how = "", n] = line.split(" ")
      last.set(Number(n), what === "done" ? how : "either")
    }
    try {
      await using store = await FolderStore.open(join(folder, objectsFolder), { limits })
      if (store.refusal !== undefined) return `it refuses writes: ${store.refusal.message}`
      const findings = await store.check()
      if (findings.length > 0) return `check() finds ${JSON.stringify(findings)}`
      for (const [n, bytes] of objects.entries()) {
        const found = await store.read(digests[n] as string)
        const wanted = last.get(n) ?? "delete"
        if (found === undefined ? wanted === "put" : wanted === "delete") return `object ${n} is ${found === undefined ? "missing" : "there"} after "${wanted}"`
        if (found !== undefined && !bytes.equals(found)) return `object ${n} has other bytes`
      }
      const { digest } = await store.put(Buffer.from("probe"))
      return (await store.read(digest)) === undefined ? "it takes no object" : undefined
    } catch (error) {
      return `it cannot be opened: ${error instanceof Error ? error.message : String(error)}`
    }
  }
}
