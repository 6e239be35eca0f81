/**
 * A process that works on a folder of tenants' files: `write FOLDER TENANTS` writes 1, 2, 3 … for one tenant after the other and says each number once it is
 * acknowledged; `churn FOLDER TENANTS` also erases tenants; `add FOLDER TIMES` counts a key of each of three tenants up; `until FOLDER TENANTS` writes for all until it is refused and says
 * by what; `open FOLDER` opens it and writes once; `leave FOLDER` ends with a write under way.
 */
import { writeSync } from "node:fs"
import { tenantKey } from "../../../../host/port/mod.ts"
import { guestKeyValue } from "../../../../runtime/storage/guest.ts"
import { eraseTenant } from "../../../../runtime/storage/record.ts"
import { TenantFilesStore } from "../../../../runtime/storage/tenants/mod.ts"
import type { StorageError } from "../../../../schemas/error/storage.ts"

const [what = "", folder = "", third = ""] = process.argv.slice(2)
const said = (line: string): void => void writeSync(1, `${line}\n`)
const opening = TenantFilesStore.open(folder, { openMax: 3, threadsMax: what === "add" ? 4 : 2, idleMs: 20 })
const store = await opening.catch((error: StorageError) => {
  said(error.code)
  process.exit(0)
})
const place = (tenant: number, name: string) => ({ tenant: Buffer.from(`t${tenant}`), key: Buffer.from(name) })
const numberOf = (value: Uint8Array | undefined): number => Number(new TextDecoder().decode(value))
const put = (i: number) => ["left", "right"].map((name) => ({ op: "set" as const, ...place(i % Number(third), name), value: Buffer.from(String(i)) }))

if (what === "write" || what === "churn") {
  let from = 0
  for (let tenant = 0; tenant < Number(third); tenant++) from = Math.max(from, numberOf(store.askSync({ ask: "get", ...place(tenant, "left") })?.value))
  for (let i = from + 1; ; i++) {
    await store.apply(put(i))
    said(String(i))
    if (what === "churn" && i % 3 === 0) {
      await eraseTenant(store, place((i + 1) % Number(third), "").tenant, 1)
      said(`erased ${(i + 1) % Number(third)}`)
    }
  }
} else if (what === "add") {
  for (let i = 0; i < Number(third); i++)
    for (const tenant of ["ada", "bob", ""]) {
      if (i % 2 === 0) guestKeyValue(store).increment(tenantKey(tenant, "count"), 1n, 0n, 1n << 62n)
      else await store.apply([{ op: "increment", tenant: Buffer.from(tenant), key: Buffer.from("count"), delta: 1n, min: 0n, max: 1n << 62n }])
    }
} else if (what === "until") {
  said("begun")
  let written = 0
  const one = async (tenant: number): Promise<string> => {
    for (let i = 0; ; i++) {
      try {
        await store.apply([{ op: "set", ...place(tenant, `k${process.pid}-${i}`), value: Buffer.from("v") }])
        written++
      } catch (error) {
        return (error as StorageError).code
      }
    }
  }
  const codes = await Promise.all(Array.from({ length: Number(third) }, (_, tenant) => one(tenant)))
  said(JSON.stringify({ codes: [...new Set(codes)], written }))
} else if (what === "leave") void store.apply(put(1))
else {
  try {
    store.applySync([{ op: "set", ...place(0, "k"), value: Buffer.from("v") }])
    said("kept")
  } catch (error) {
    said((error as StorageError).code)
  }
}
if (what !== "leave") await store.close()
