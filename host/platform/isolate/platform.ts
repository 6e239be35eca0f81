/** What an isolate needs of its platform, without what a host has. */
import { createHmac, hash, randomBytes } from "node:crypto"
import type { GuestPlatform } from "../../isolate/link.ts"

export const platform: GuestPlatform = {
  nowMs: () => performance.now(),
  sha256: async (bytes) => hash("sha256", bytes, "hex"),
  hmacSha256: async (key, bytes) => new Uint8Array(createHmac("sha256", key).update(bytes).digest()),
  randomBytes: (length) => new Uint8Array(randomBytes(length)),
}
