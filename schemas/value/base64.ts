/**
 * Base64 of RFC 4648 §4: padded, no line breaks, and canonical, so that equal bytes are equal text.
 *
 * Our own, because `Uint8Array.fromBase64` is not on Node 24 and accepts white space, and `atob` accepts both white space and
 * bits after the end; uses the engine's encoder where there is one.
 */
const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
const sextets = new Uint8Array(128).fill(0xff)
for (let i = 0; i < 64; i++) sextets[alphabet.charCodeAt(i)] = i

/** The bytes, or undefined when `text` is not canonical base64. */
export function fromBase64(text: string): Uint8Array<ArrayBuffer> | undefined {
  const length = text.length
  if (length % 4 !== 0) return undefined
  const padding = text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0
  const digits = length - padding
  const bytes = new Uint8Array((length / 4) * 3 - padding)
  let word = 0
  let out = 0
  for (let i = 0; i < digits; i++) {
    const code = text.charCodeAt(i)
    const sextet = code < 128 ? (sextets[code] as number) : 0xff
    if (sextet === 0xff) return undefined
    word = (word << 6) | sextet
    if ((i & 3) === 3) {
      bytes[out++] = word >> 16
      bytes[out++] = word >> 8
      bytes[out++] = word
      word = 0
    }
  }
  // The bits between the last byte and the last digit must be zero (RFC 4648 §3.5).
  if (padding === 1) {
    if ((word & 3) !== 0) return undefined
    bytes[out++] = word >> 10
    bytes[out] = word >> 2
  } else if (padding === 2) {
    if ((word & 15) !== 0) return undefined
    bytes[out] = word >> 4
  }
  return bytes
}

/** Padded base64 of `bytes`. */
export function toBase64(bytes: Uint8Array): string {
  if (typeof bytes.toBase64 === "function") return bytes.toBase64()
  return encodeBase64(bytes)
}

/** The same without the engine's help. */
export function encodeBase64(bytes: Uint8Array): string {
  let text = ""
  for (let i = 0; i < bytes.length; i += 3) {
    const left = bytes.length - i
    const word = ((bytes[i] as number) << 16) | ((bytes[i + 1] ?? 0) << 8) | (bytes[i + 2] ?? 0)
    text += alphabet.charAt(word >> 18) + alphabet.charAt((word >> 12) & 63)
    text += left > 1 ? alphabet.charAt((word >> 6) & 63) : "="
    text += left > 2 ? alphabet.charAt(word & 63) : "="
  }
  return text
}
