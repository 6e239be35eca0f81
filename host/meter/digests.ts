/** Digests by WebCrypto, which every platform has. */

/** SHA-256 as lowercase hex, and HMAC-SHA-256. A platform's own may be at hand sooner than WebCrypto, which takes 6 ms to load on Node. */
export interface Digests {
  sha256(bytes: Uint8Array): Promise<string>
  hmacSha256(key: Uint8Array, bytes: Uint8Array): Promise<Uint8Array>
}

/** Bytes WebCrypto accepts: not those of a shared buffer, and not a whole buffer where a part is meant. */
const plain = (bytes: Uint8Array): Uint8Array<ArrayBuffer> => bytes as Uint8Array<ArrayBuffer>

export const webDigests: Digests = {
  sha256: async (bytes) =>
    Array.from(new Uint8Array(await crypto.subtle.digest("SHA-256", plain(bytes))), (byte) => byte.toString(16).padStart(2, "0")).join(""),
  async hmacSha256(key, bytes) {
    const hmac = await crypto.subtle.importKey("raw", plain(key), { name: "HMAC", hash: "SHA-256" }, false, ["sign"])
    return new Uint8Array(await crypto.subtle.sign("HMAC", hmac, plain(bytes)))
  },
}
