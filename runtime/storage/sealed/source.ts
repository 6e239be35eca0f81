/** Where a master key is read from: never a word on the command line, which every process of the machine can see. */
import { StorageError } from "../../../schemas/error/storage.ts"
import { idBytes, type SealingKey, sealingKey } from "./seal.ts"
import { keyBytes } from "./xaes.ts"

const { createHmac } = process.getBuiltinModule("node:crypto")
const { readFileSync } = process.getBuiltinModule("node:fs")

/** 32 bytes as they are, or as text: 64 hexadecimal digits, or base64. */
function secretOf(source: string, bytes: Uint8Array): Uint8Array {
  if (bytes.length === keyBytes) return Uint8Array.from(bytes)
  const text = Buffer.from(bytes).toString("latin1").trim()
  if (/^[0-9a-f]{64}$/i.test(text)) return Uint8Array.from(Buffer.from(text, "hex"))
  if (/^[A-Za-z0-9+/]{43}=$/.test(text)) return Uint8Array.from(Buffer.from(text, "base64"))
  throw new StorageError("KeySource", {
    source,
    detail: `it should be ${keyBytes} bytes, or as many in hexadecimal or base64, and is ${bytes.length} bytes of something else`,
  })
}

/**
 * The master key that `file:PATH` or `env:NAME` stands for.
 * @throws StorageError `KeySource`
 */
export function masterOf(source: string): SealingKey {
  const [, kind, name = ""] = /^(file|env):(.+)$/s.exec(source) ?? []
  if (kind === undefined) throw new StorageError("KeySource", { source: "…", detail: "it is neither file:PATH nor env:NAME" })
  if (kind === "file") {
    let bytes: Uint8Array
    try {
      bytes = readFileSync(name)
    } catch (cause) {
      throw new StorageError("KeySource", { source, detail: cause instanceof Error ? cause.message : String(cause) }, { cause })
    }
    return masterFrom(secretOf(source, bytes))
  }
  const value = process.env[name]
  if (value === undefined || value === "") throw new StorageError("KeySource", { source, detail: "there is no such variable" })
  return masterFrom(secretOf(source, Buffer.from(value)))
}

/** A master key's id is known from the key: a process can tell a wrong one before it opens anything. */
export function masterFrom(secret: Uint8Array): SealingKey {
  const id = createHmac("sha256", secret).update("stele storage master key").digest().subarray(0, idBytes)
  return sealingKey(Uint8Array.from(id), secret)
}
