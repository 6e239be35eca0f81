/** The key of an encrypted archive: where it comes from, and what is derived from it. */
import { StorageError } from "../../../schemas/error/storage.ts"

const { createHmac, hkdfSync } = process.getBuiltinModule("node:crypto")
const { readFileSync } = process.getBuiltinModule("node:fs")

const keyBytes = 32
/** `STELE_ARCHIVE_KEY`: the key as 64 hex digits or 44 characters of base64. */
export const keyVariable = "STELE_ARCHIVE_KEY"

/** 32 bytes as they are, as hex or as base64. Throws `ArchiveKey`. */
export function keyOf(bytes: Uint8Array, source: string): Uint8Array {
  if (bytes.length === keyBytes) return new Uint8Array(bytes)
  const text = Buffer.from(bytes).toString("latin1").trim()
  if (/^[\da-f]{64}$/i.test(text)) return new Uint8Array(Buffer.from(text, "hex"))
  if (/^[\w+/-]{43}=$/.test(text)) return new Uint8Array(Buffer.from(text, "base64"))
  throw new StorageError("ArchiveKey", { archive: source, detail: `it must be ${keyBytes} bytes, as they are, in hex or in base64` })
}

/** The key from a file, or else from `STELE_ARCHIVE_KEY`; undefined when neither is named. */
export function readKey(file: string | undefined, environment: Readonly<Record<string, string | undefined>>): Uint8Array | undefined {
  if (file === undefined) {
    const text = environment[keyVariable]
    return text === undefined || text === "" ? undefined : keyOf(Buffer.from(text), keyVariable)
  }
  let bytes: Uint8Array
  try {
    bytes = readFileSync(file)
  } catch (error) {
    throw new StorageError("ArchiveKey", { archive: file, detail: error instanceof Error ? error.message : String(error) }, { cause: error })
  }
  return keyOf(bytes, file)
}

/** A key of one purpose: HKDF-SHA256 (RFC 5869). */
export const derive = (key: Uint8Array, salt: Uint8Array, purpose: string): Uint8Array =>
  new Uint8Array(hkdfSync("sha256", key, salt, `stele archive ${purpose}`, 32))

/** Tells a wrong key from damage: 8 bytes that only the key gives for this salt. */
export const keyCheck = (key: Uint8Array, salt: Uint8Array): string => Buffer.from(derive(key, salt, "check")).toString("hex", 0, 8)

/** The name of a blob's object: with a key nobody can tell from it which bytes are kept. */
export function blobName(key: Uint8Array | undefined, digest: string): string {
  const name =
    key === undefined
      ? digest
      : createHmac("sha256", derive(key, new Uint8Array(), "blob name"))
          .update(digest)
          .digest("hex")
  return `blob/${name.slice(0, 2)}/${name}`
}
