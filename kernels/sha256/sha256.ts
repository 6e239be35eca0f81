/**
 * SHA-256 (FIPS 180-4) and HMAC-SHA-256 (RFC 2104) of short messages, in WebAssembly. A start of a process cannot wait for
 * the platform's own: loading `node:crypto` takes 4.5 ms on Node 26 and WebCrypto 6, this module 2 with the engine's first compilation, which a guest's then does not pay, and 9 KB take it 0.1.
 * Long messages are for the platform, whose processor's instructions are ten times as fast.
 */
import { fromBase64 } from "../../schemas/value/base64.ts"
import { sha256Base64 } from "./sha256.gen.ts"

/** Bytes of a message that this is for; what a padding and a block of a key add to it still fits the memory. */
export const shortBytesMax = 65_536

const messageAt = 1024
const hashAt = 512
/** FIPS 180-4, 5.3.3. */
const initial = [0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19]

interface Kernel {
  readonly bytes: Uint8Array
  readonly view: DataView
  readonly blocks: (at: number, end: number) => void
}

let kernel: Kernel | undefined

function load(): Kernel {
  const module = new WebAssembly.Module(fromBase64(sha256Base64) as Uint8Array<ArrayBuffer>)
  const { memory, blocks } = new WebAssembly.Instance(module).exports as { memory: WebAssembly.Memory; blocks: Kernel["blocks"] }
  return { bytes: new Uint8Array(memory.buffer), view: new DataView(memory.buffer), blocks }
}

/** SHA-256 of the parts one behind the other, of at most `shortBytesMax` bytes and a block. */
export function sha256(...parts: ReadonlyArray<Uint8Array>): Uint8Array<ArrayBuffer> {
  const { bytes, view, blocks } = (kernel ??= load())
  let at = messageAt
  for (const part of parts) {
    bytes.set(part, at)
    at += part.length
  }
  const length = at - messageAt
  // 5.1.1: a one, zeros, and the length in bits as 64 bits that end a block.
  const end = messageAt + Math.ceil((length + 9) / 64) * 64
  bytes.fill(0, at, end)
  bytes[at] = 0x80
  view.setUint32(end - 4, length * 8)
  for (let i = 0; i < 8; i++) view.setUint32(hashAt + i * 4, initial[i] as number, true)
  blocks(messageAt, end)
  const hash = new Uint8Array(32)
  const out = new DataView(hash.buffer)
  for (let i = 0; i < 8; i++) out.setUint32(i * 4, view.getUint32(hashAt + i * 4, true))
  // What was hashed may be a secret.
  bytes.fill(0, messageAt, end)
  bytes.fill(0, 256, messageAt)
  return hash
}

/** RFC 2104 with SHA-256, for keys of at most a block. */
export function hmacSha256(key: Uint8Array, message: Uint8Array): Uint8Array<ArrayBuffer> {
  const pad = (byte: number): Uint8Array => Uint8Array.from({ length: 64 }, (_, i) => (key[i] ?? 0) ^ byte)
  return sha256(pad(0x5c), sha256(pad(0x36), message))
}
