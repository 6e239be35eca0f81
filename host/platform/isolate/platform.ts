/** What an isolate needs of its platform. No module of the engine's: loading its cryptography alone takes Node 6 ms. */
import type { GuestPlatform } from "../../isolate/link.ts"

export const platform: GuestPlatform = { nowMs: () => performance.now() }
