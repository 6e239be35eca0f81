/** A process that works on a store in PGlite: counts a key up, and says each number once it is acknowledged. */
import { writeSync } from "node:fs"
import { placeOf } from "../../../../runtime/port/place.ts"
import { PgliteStore } from "../../../../runtime/storage/pglite/mod.ts"
import { driver } from "./pglite.ts"

/** Said before anything else happens; a reader that is behind is waited for. */
function say(text: string): void {
  for (;;) {
    try {
      writeSync(1, text)
      return
    } catch (error) {
      if ((error as { readonly code?: string }).code !== "EAGAIN") throw error
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5)
    }
  }
}

const store = await PgliteStore.open(process.argv[2], { driver })
for (;;) {
  const [sum] = await store.apply([
    { op: "increment", ...placeOf("ada/count"), delta: 1n, min: 0n, max: 1n << 62n },
    { op: "increment", ...placeOf("ada/twin"), delta: 1n, min: 0n, max: 1n << 62n },
  ])
  say(`${sum}\n`)
}
