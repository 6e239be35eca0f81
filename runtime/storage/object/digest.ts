/** Digests as names: checked before anything is made of them, so that none leads out of a store. */
import { ConfigError } from "../../../schemas/error/config.ts"
import { StorageError } from "../../../schemas/error/storage.ts"
import type { Digest } from "../../port/object.ts"

const { createHash } = process.getBuiltinModule("node:crypto")

const form = /^[0-9a-f]{64}$/

export const isDigest = (text: unknown): text is Digest => typeof text === "string" && form.test(text)

/** Throws `StorageError` `Digest` for anything else. */
export function checkDigest(digest: unknown): Digest {
  if (isDigest(digest)) return digest
  throw new StorageError("Digest", { digest: String(digest).slice(0, 100) })
}

export const digestOf = (bytes: Uint8Array): Digest => createHash("sha256").update(bytes).digest("hex")

export const digestBytes = (digest: unknown): Buffer => Buffer.from(checkDigest(digest), "hex")

/** The bytes of `start` to `end` that there are of `bytes`. */
export function clip(bytes: number, start = 0, end = bytes): { readonly start: number; readonly end: number } {
  for (const [option, value] of Object.entries({ start, end }))
    if (!Number.isInteger(value) || value < 0) throw new ConfigError("Option", { option, expected: "an integer ≥ 0", actual: String(value) })
  const last = Math.min(end, bytes)
  return { start: Math.min(start, last), end: last }
}

/** An id of an upload is part of a file's name or a key, so it is one of ours or none. */
export const isUploadId = (id: unknown): id is string => typeof id === "string" && /^[0-9a-f]{32}$/.test(id)

export const newUploadId = (): string => process.getBuiltinModule("node:crypto").randomBytes(16).toString("hex")

/** A piece of an upload that nobody else can change: shared memory, or the caller's own, may. */
export function checkBytes(option: string, bytes: unknown): Uint8Array {
  if (bytes instanceof Uint8Array) return bytes
  throw new ConfigError("Option", { option, expected: "bytes", actual: typeof bytes })
}
