import { family, reason } from "./family.ts"

interface Store {
  /** The store as it was named, without a password. */
  readonly store: string
}

/** A durable store cannot be opened, is not what it should be, or did not take a write. */
export class StorageError extends family("StorageError", {
  Address: reason<{ readonly address: string; readonly known: ReadonlyArray<string> }>({
    code: "STELE-STO-0001",
    status: 400,
    exit: 2,
    isRetryable: false,
    message: (d) => `Cannot use "${d.address}" as storage: it is none of ${d.known.join(", ")}`,
    fix: (d) => `write one of ${d.known.join(", ")}`,
  }),
  Unreachable: reason<Store & { readonly detail: string }>({
    code: "STELE-STO-0002",
    status: 503,
    exit: 69,
    isRetryable: true,
    message: (d) => `Cannot open the store "${d.store}": ${d.detail}`,
    fix: () => "check that the path exists, is on a local disk and may be written by this user",
  }),
  Foreign: reason<Store>({
    code: "STELE-STO-0003",
    status: 409,
    exit: 6,
    isRetryable: false,
    message: (d) => `Cannot use "${d.store}" as a store: it is a database of another program`,
    fix: () => "name a file of its own, which is made when it is not there",
  }),
  Newer: reason<Store & { readonly format: number; readonly known: number }>({
    code: "STELE-STO-0004",
    status: 409,
    exit: 6,
    isRetryable: false,
    message: (d) => `Cannot use the store "${d.store}": it has format ${d.format}, this version knows formats up to ${d.known}`,
    fix: () => "run the version that wrote it, or a newer one",
  }),
  Corrupt: reason<Store & { readonly table: string; readonly key: string }>({
    code: "STELE-STO-0005",
    status: 500,
    exit: 3,
    isRetryable: false,
    message: (d) => `Cannot read "${d.key}" of table "${d.table}" in the store "${d.store}": its bytes are not those that were written`,
    fix: () => "restore a backup: the disk, or something else that writes the file, has changed it",
  }),
  Lost: reason<Store & { readonly found: number; readonly known: number }>({
    code: "STELE-STO-0006",
    status: 409,
    exit: 3,
    isRetryable: false,
    message: (d) => `Cannot write to the store "${d.store}": it ends at commit ${d.found}, and commit ${d.known} was acknowledged`,
    fix: () => "restore a backup, or go on without what is lost: acceptLoss: true, or stele storage check --accept-loss",
  }),
  Failed: reason<Store & { readonly detail: string }>({
    code: "STELE-STO-0007",
    status: 507,
    exit: 69,
    isRetryable: true,
    message: (d) => `Cannot write to the store "${d.store}": ${d.detail}`,
    fix: () => "free space on the disk or see what it reports, then try again: nothing of this write was kept",
  }),
  Unknown: reason<Store & { readonly detail: string }>({
    code: "STELE-STO-0008",
    status: 500,
    exit: 69,
    isRetryable: false,
    message: (d) => `Cannot tell whether the last write to the store "${d.store}" was kept: ${d.detail}`,
    fix: () => "close the store and open it again: recovery decides, and the value read then is the answer",
  }),
  Busy: reason<Store & { readonly waitedMs: number }>({
    code: "STELE-STO-0009",
    status: 503,
    exit: 69,
    isRetryable: true,
    message: (d) => `Cannot write to the store "${d.store}": another process has held it for ${d.waitedMs} ms`,
    fix: () => "end or wait for the process that writes to it",
  }),
  Overloaded: reason<Store & { readonly pendingMax: number }>({
    code: "STELE-STO-0011",
    status: 429,
    exit: 69,
    isRetryable: true,
    message: (d) => `Cannot write to the store "${d.store}": ${d.pendingMax} writes wait for the disk already`,
    fix: () => "wait for earlier writes before starting new ones",
  }),
  Closed: reason<Store>({
    code: "STELE-STO-0010",
    status: 410,
    exit: 6,
    isRetryable: false,
    message: (d) => `Cannot use the store "${d.store}": it is closed`,
    fix: () => "open it again",
  }),
  Conflict: reason<Store & { readonly table: string; readonly key: string; readonly expected: string; readonly found: string }>({
    code: "STELE-STO-0040",
    status: 409,
    exit: 6,
    isRetryable: true,
    message: (d) => `Cannot write "${d.key}" of table "${d.table}" in the store "${d.store}": it should be at ${d.expected} and is at ${d.found}`,
    fix: () => "read it again, decide anew and write with what was read: nothing of this batch was kept",
  }),
  Compacted: reason<Store & { readonly table: string; readonly key: string; readonly asked: number; readonly oldest: number; readonly newest: number }>({
    code: "STELE-STO-0041",
    status: 410,
    exit: 4,
    isRetryable: false,
    message: (d) =>
      `Cannot read "${d.key}" of table "${d.table}" in the store "${d.store}" after ${d.asked}: what is kept begins after ${d.oldest} and ends at ${d.newest}`,
    fix: () => "read what is there now and go on after the revision, or the offset, that comes with it",
  }),
  Record: reason<Store & { readonly table: string; readonly detail: string }>({
    code: "STELE-STO-0042",
    status: 422,
    exit: 3,
    isRetryable: false,
    message: (d) => `Cannot take the record into table "${d.table}" of the store "${d.store}": ${d.detail}`,
    fix: () => "import the records of an export as they are, in their order, by a version that knows the table",
  }),
}) {}
