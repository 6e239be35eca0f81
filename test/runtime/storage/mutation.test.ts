/**
 * What the conformance cases are worth: each rule is taken out of a copy of the source, one line at a time, and then some
 * case must fail. What no case can see, because it takes damage or a clock, has a probe of its own below.
 */
import { copyFile, cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { fileURLToPath, pathToFileURL } from "node:url"
import t from "tap"
import type { Operation, Question } from "../../../runtime/port/store.ts"
import type * as Limits from "../../../runtime/port/limits.ts"
import type * as Clock from "../../../runtime/storage/clock.ts"
import type * as Sqlite from "../../../runtime/storage/sqlite/mod.ts"
import { append, at, set } from "./suite/case.ts"
import { runCase, storeCases } from "./suite/conformance.ts"
import { strict } from "./suite/strict.ts"
import { usageMutations } from "./suite/usage-mutations.ts"
import { sampled } from "../../seed.ts"

const root = fileURLToPath(new URL("../../..", import.meta.url))
const folder = await mkdtemp(join(tmpdir(), "stele-mutation-"))
t.setTimeout(300_000)
t.teardown(() => rm(folder, { recursive: true, force: true }))
let copies = 0

type Modules = typeof Sqlite & typeof Limits & typeof Clock

/** The storage's source with one line replaced, as modules of its own. */
async function mutated(file: string, line: string, replacement: string): Promise<Modules> {
  const copy = join(folder, String(copies++))
  await mkdir(copy)
  await writeFile(join(copy, "package.json"), '{ "type": "module" }')
  for (const part of ["runtime/storage", "runtime/port", "host/port", "schemas/error", "schemas/value"])
    await cp(join(root, part), join(copy, part), { recursive: true })
  const path = join(copy, "runtime/storage", file)
  const source = await readFile(path, "utf8")
  if (source.split(line).length !== 2) throw new Error(`"${line}" is in ${file} ${source.split(line).length - 1} times`)
  await writeFile(
    path,
    source.replace(line, () => replacement),
  )
  const load = (name: string): Promise<object> => import(pathToFileURL(join(copy, name)).href) as Promise<object>
  return { ...(await load("runtime/storage/sqlite/mod.ts")), ...(await load("runtime/port/limits.ts")), ...(await load("runtime/storage/clock.ts")) } as Modules
}

/** The case of these groups that fails first, or undefined. One that hangs has failed. */
async function caught({ MemoryStore }: Modules, groups: ReadonlyArray<string>, hangMs = 4_000): Promise<string | undefined> {
  /** A store that is asked too often: nothing waits in it, so that who asks for ever would never let a timer run. */
  class Bounded extends MemoryStore {
    #calls = 0
    #count(): void {
      if (this.#calls++ > 20_000) throw new Error("it goes on for ever")
    }
    override applySync(...input: Parameters<InstanceType<typeof MemoryStore>["applySync"]>): never {
      this.#count()
      return super.applySync(...input) as never
    }
    override async ask(...input: Parameters<InstanceType<typeof MemoryStore>["ask"]>): Promise<never> {
      this.#count()
      return super.askSync(...input) as never
    }
  }
  for (const each of storeCases.filter(({ group }) => groups.includes(group))) {
    let timer: ReturnType<typeof setTimeout> | undefined
    try {
      const late = new Promise<never>((_, reject) => (timer = setTimeout(() => reject(new Error("it hangs")), hangMs)))
      await Promise.race([runCase(each, { name: "mutated", open: async (limits) => new Bounded(limits) }, strict), late])
    } catch {
      return each.title
    } finally {
      clearTimeout(timer)
    }
  }
  return undefined
}

const whole = "tenants as a whole"
const mutations: ReadonlyArray<readonly [rule: string, file: string, line: string, replacement: string, groups: ReadonlyArray<string>]> = [
  [
    "the tenant in what `get` finds",
    "sqlite/key-value.ts",
    "${columns} FROM key_value WHERE tenant = ? AND key = ?",
    "${columns} FROM key_value WHERE ? IS NOT NULL AND key = ?",
    ["tenants"],
  ],
  [
    "the tenant in what `list` finds",
    "sqlite/key-value.ts",
    '"SELECT key FROM key_value WHERE tenant = ?1',
    '"SELECT key FROM key_value WHERE ?1 IS NOT NULL',
    ["tenants"],
  ],
  [
    "the tenant in `entries`",
    "sqlite/key-value.ts",
    "SELECT key, ${columns} FROM key_value WHERE tenant = ?1 AND key >= ?2",
    "SELECT key, ${columns} FROM key_value WHERE ?1 IS NOT NULL AND key >= ?2",
    ["entries"],
  ],
  [
    "the tenant in `changes`",
    "sqlite/change.ts",
    "FROM key_value_change WHERE tenant = ?1 AND revision > ?2",
    "FROM key_value_change WHERE ?1 IS NOT NULL AND revision > ?2",
    ["changes", "watch"],
  ],
  [
    "the tenant of a log",
    "sqlite/log.ts",
    'bytes, sum FROM log WHERE tenant = ? AND key = ?"',
    'bytes, sum FROM log WHERE ? IS NOT NULL AND key = ?"',
    ["log"],
  ],
  [
    "the tenant of a reference",
    "sqlite/blob.ts",
    "${columns} FROM blob_reference WHERE tenant = ? AND key = ?`",
    "${columns} FROM blob_reference WHERE ? IS NOT NULL AND key = ?`",
    ["blobs"],
  ],
  [
    "the tenant in `blobs`",
    "sqlite/blob.ts",
    "FROM blob_reference WHERE tenant = ?1 AND key >= ?2",
    "FROM blob_reference WHERE ?1 IS NOT NULL AND key >= ?2",
    ["blobs"],
  ],
  [
    "the tenant in what is erased",
    "sqlite/key-value.ts",
    "(SELECT id FROM key_value WHERE tenant = ? LIMIT ?)",
    "(SELECT id FROM key_value WHERE ? IS NOT NULL LIMIT ?)",
    [whole],
  ],
  ["the tenant in what is exported", "sqlite/log.ts", '"SELECT key FROM log WHERE tenant = ?1', '"SELECT key FROM log WHERE ?1 IS NOT NULL', [whole]],
  ["names that stores keep for themselves", "operation.ts", "(tenant[0] as number) < 0xf8", "(tenant[0] as number) < 0x1ff", [whole]],
  [
    "an end makes a value absent",
    "sqlite/key-value.ts",
    "row.expiresUs <= (nowUs ?? this.#clock()) ? undefined : row",
    "row.expiresUs < 0 ? undefined : row",
    ["ends"],
  ],
  ["an end in `list`", "sqlite/key-value.ts", "(expires_us IS NULL OR expires_us > ?5)", "(?5 IS NOT NULL)", ["ends"]],
  ["an end in `has`", "sqlite/key-value.ts", "(row.expiresUs === null || row.expiresUs > this.#clock())", "true", ["ends"]],
  ["an end in `delete`", "sqlite/key-value.ts", "return !isOver", "return true", ["ends"]],
  ["`set` clears an end", "sqlite/key-value.ts", "if (ttlMs === undefined) return null", "if (ttlMs === undefined) return group.nowUs + 1e9", ["ends"]],
  [
    "`increment` keeps an end",
    "sqlite/key-value.ts",
    "utf8.encode(sum.toString()), before?.expiresUs ?? null)",
    "utf8.encode(sum.toString()), null)",
    ["ends"],
  ],
  ["an end is written over", "sqlite/key-value.ts", "sum = ?, expires_us = ? WHERE", "sum = ?, expires_us = coalesce(?, expires_us) WHERE", ["ends"]],
  ["ends have limits", "sqlite/key-value.ts", 'checkWhole("ttlMs", ttlMs, 1, this.#limits.ttlMsMax)', "", ["ends"]],
  ["what has ended counts against no quota", "sqlite/key-value.ts", "used.bytes - ended.bytes + grown", "used.bytes + grown", ["ends"]],
  ["what has ended counts against nobody's quota", "sqlite/key-value.ts", "all.bytes - allEnded.bytes + grown", "all.bytes + grown", ["ends"]],
  ["what has ended is removed", "sqlite/writer.ts", "this.#tables.sweep(group)", "", ["ends"]],
  ["a removal is a change", "sqlite/key-value.ts", "this.#changes.add(group, place, kind, revision, this.#limits)", "", ["changes", "ends"]],
  ["a write is a change", "sqlite/key-value.ts", 'this.#changes.add(group, place, "set", revision, this.#limits)', "", ["changes"]],
  ["a condition", "sqlite/key-value.ts", "if (version === operation.version) return undefined\n", "return undefined\n", ["conditions"]],
  ["compare and set", "sqlite/key-value.ts", "return version === operation.version ? this.#write", "return version !== -1 ? this.#write", ["versions"]],
  ["a batch is all or nothing", "sqlite/table.ts", 'batch.slice(0, -1).every(({ op }) => op === "require")', "true", ["batches"]],
  ["quotas of a refused batch", "sqlite/totals.ts", "end(isKept: boolean): void {", "end(isKept: boolean): void {\n    isKept = true", ["batches"]],
  ["changes that are gone are `Compacted`", "sqlite/change.ts", "after < oldest || after > newest", "after > newest", ["changes"]],
  ["changes to come are `Compacted`", "sqlite/change.ts", "after < oldest || after > newest", "after < oldest", ["changes"]],
  ["changes are trimmed by count", "sqlite/change.ts", "if (keys > most + Math.min(stepMax, most / 4) + 1)", "if (keys < 0)", ["changes"]],
  ["changes are trimmed by age", "sqlite/change.ts", "oldest.changedUs < beforeUs", "oldest.changedUs < 0", ["changes"]],
  [
    "trimming leaves a trace",
    "sqlite/change.ts",
    '    this.#put(group, tenant, { revision, key: noKey, kind: kinds.indexOf("removed"), changedUs: group.nowUs })',
    "",
    ["changes"],
  ],
  [
    "changes come in order",
    "sqlite/change.ts",
    "(?4 IS NULL OR key < ?4) ORDER BY revision LIMIT ?5",
    "(?4 IS NULL OR key < ?4) ORDER BY key DESC LIMIT ?5",
    ["changes"],
  ],
  [
    "a page of changes is complete up to its last",
    "sqlite/change.ts",
    "changes.length < rowsMax(countMax) ? newest :",
    "changes.length >= 0 ? newest :",
    ["changes"],
  ],
  ["a log's offset that is expected", "sqlite/log.ts", "if (expect !== undefined && offsetOf", "if (expect === -1n && offsetOf", ["log"]],
  ["a trimmed log is `Compacted`", "sqlite/log.ts", "if (from + 1 < log.first)", "if (from < -1)", ["log"]],
  ["offsets go on after a trim", "sqlite/log.ts", "const first = Math.min(before, log.last + 1)\n    group", "const first = before\n    group", ["log"]],
  ["offsets have no gaps", "sqlite/log.ts", "const offset = last + 1", "const offset = last + 2", ["log"]],
  ["a full log refuses", "sqlite/log.ts", 'checkLimit("log", "logEntriesMax", "entries", limits.logEntriesMax, last - first + 2)', "", ["log"]],
  ["a full tenant refuses", "sqlite/log.ts", 'checkLimit("log", "tenantBytesMax", "bytes", limits.tenantBytesMax, used.bytes + payload.length)', "", ["log"]],
  [
    "objects of others are linked too",
    "sqlite/blob.ts",
    "FROM blob_reference WHERE digest = ? LIMIT 1",
    "FROM blob_reference WHERE digest = ? AND tenant = x'616461' LIMIT 1",
    ["blobs"],
  ],
  ["quotas of objects", "sqlite/blob.ts", 'checkLimit("blob", "tenantBytesMax", "bytes", limits.tenantBytesMax, used.bytes + grown)', "", ["blobs"]],
  [
    "an import keeps versions",
    "sqlite/key-value.ts",
    "this.#put(group, place, old, { value, revision, expiresUs })\n    // Who",
    "this.#put(group, place, old, { value, revision: group.revision, expiresUs })\n    // Who",
    [whole],
  ],
  [
    "an import keeps times",
    "sqlite/log.ts",
    "{ offset: at.number, payload, appendedUs })",
    "{ offset: at.number, payload, appendedUs: group.nowUs })",
    [whole],
  ],
  ["revisions go on above an import's", "sqlite/tenant.ts", "group.raise(operation.revision)", "", [whole]],
  ["who watches is told of an import", "sqlite/key-value.ts", "this.#changes.forget(group, tenant, group.revision)", "", [whole]],
  [
    "an import removes what was trimmed since",
    "sqlite/log.ts",
    '"log = ?1 AND (offset < ?2 OR offset > ?3)"',
    '"log = ?1 AND offset < ?2 AND offset > ?3"',
    [whole],
  ],
  [
    "an erased tenant has no logs",
    "sqlite/tenant.ts",
    "for (const table of tables) if (count < operation.countMax)",
    'for (const table of tables) if (table.name !== "log" && count < operation.countMax)',
    [whole],
  ],
  [
    "an erased tenant has no name",
    "sqlite/totals.ts",
    "if (keys === 0 && bytes === 0 && sums === 0) this.#drop.run(tenant)",
    "if (keys < 0) this.#drop.run(tenant)",
    [whole],
  ],
  ["an erased tenant has no changes", "sqlite/key-value.ts", "this.#changes.erase(group, tenant, countMax - rows.length)", "0", [whole]],
  ["a record's fields are all known", "record.ts", "if (unknown !== undefined)", "if (unknown === null)", [whole]],
  [
    "a reference that was given another object is not given back",
    "sqlite/blob.ts",
    "this.#verified(place, old).digest, from) !== 0",
    "from, from) !== 0",
    ["rewrite"],
  ],
  [
    "the tenant of what is rewritten",
    "sqlite/blob.ts",
    "const place = { tenant, key }\n    const old = this.#row(place)\n    if (old === undefined || Buffer",
    'const place = { tenant: utf8.encode("ada"), key }\n    const old = this.#row(place)\n    if (old === undefined || Buffer',
    ["rewrite"],
  ],
  [
    "the time of a reference that is rewritten",
    "sqlite/blob.ts",
    "createdAtUs: old.createdAtUs, revision })\n    return true",
    "createdAtUs: 0, revision })\n    return true",
    ["rewrite"],
  ],
  ["a job that has another payload by now", "queue-row.ts", "return isSame(job.payload, from) ?", "return from.length > 0 ?", ["rewrite"]],
  ["what was said of a job by now", "queue-row.ts", "job.error !== null && isSame(utf8.encode(job.error), from)", "from.length > 0", ["rewrite"]],
  ["a schedule that has another payload by now", "sqlite/queue-tenant.ts", "!isSame(old.payload, from)", "false", ["rewrite"]],
  ["an idempotency key that has another digest by now", "sqlite/queue-tenant.ts", "!isSame(old.digest, from)", "false", ["rewrite"]],
  ["totals of a job that is rewritten", "sqlite/queue-tenant.ts", "jobs.total(lane, 0, bytesOfJob(row) - bytesOfJob(old), old.sum ^ sum)", "", ["rewrite"]],
  ["fields that may be rewritten", "queue-row.ts", "|| !fields.includes(field)", "", ["rewrite"]],
  ["a fingerprint in place of the payload", "queue-row.ts", "fingerprint ?? (hash(", "(hash(", ["rewrite"]],
  ...usageMutations,
]

t.test("each rule of the stores is held by some conformance case", { timeout: 300_000 }, async (t) => {
  // Each takes a copy of the source through the engine.
  const chosen = sampled(mutations, 10)
  t.comment(`${chosen.length} of ${mutations.length} rules`)
  // Several at a time: some are caught by what never comes.
  for (let from = 0; from < chosen.length; from += 8)
    await Promise.all(
      chosen.slice(from, from + 8).map(async ([rule, file, line, replacement, groups]) => {
        const title = await caught(await mutated(file, line, replacement), groups)
        t.ok(title !== undefined, `without: ${rule}${title === undefined ? ", nothing fails" : ""}`)
      }),
    )
  const [, file, line] = mutations[0] as (typeof mutations)[number]
  t.equal(
    await caught(await mutated(file, line, line), [...new Set(storeCases.map(({ group }) => group))], 60_000),
    undefined,
    "with all of them nothing fails",
  )
})

/** Each row damaged in one column. */
const damages: ReadonlyArray<readonly [table: string, damage: string, ask: Question]> = [
  ["key_value", "UPDATE key_value SET value = x'00' WHERE key = x'6b'", { ask: "get", ...at("k") }],
  ["key_value", "UPDATE key_value SET value = x'00' WHERE key = x'6b'", { ask: "entries", ...at(""), beyond: undefined, countMax: 9, bytesMax: 99 }],
  ["key_value", "UPDATE key_value SET expires_us = 1 WHERE key = x'6b'", { ask: "get", ...at("k") }],
  ["key_value", "UPDATE key_value SET expires_us = NULL WHERE key = x'65'", { ask: "get", ...at("e") }],
  ["key_value", "UPDATE key_value SET expires_us = expires_us + 1 WHERE key = x'65'", { ask: "get", ...at("e") }],
  ["key_value", "UPDATE key_value SET expires_us = -9223372036854775807 WHERE key = x'65'", { ask: "get", ...at("e") }],
  [
    "key_value",
    "UPDATE key_value SET revision = revision + 1 WHERE key = x'6b'",
    { ask: "export", tenant: at("").tenant, table: "key_value", after: undefined, countMax: 9 },
  ],
  ["key_value_change", "UPDATE key_value_change SET kind = 1", { ask: "changes", ...at(""), after: 0, countMax: 9 }],
  ["key_value_change", "UPDATE key_value_change SET key = x'00'", { ask: "changes", ...at(""), after: 0, countMax: 9 }],
  ["log", "UPDATE log_entry SET payload = x'00' WHERE offset = 1", { ask: "log", ...at("l"), after: 0n, countMax: 9, bytesMax: 99 }],
  ["log", "UPDATE log_entry SET appended_us = appended_us + 1 WHERE offset = 2", { ask: "log", ...at("l"), after: 0n, countMax: 9, bytesMax: 99 }],
  ["log", "DELETE FROM log_entry WHERE offset = 1", { ask: "log", ...at("l"), after: 0n, countMax: 9, bytesMax: 99 }],
  ["log", "DELETE FROM log_entry WHERE offset = 2", { ask: "log", ...at("l"), after: 0n, countMax: 9, bytesMax: 99 }],
  ["log", "UPDATE log SET last = 3", { ask: "log", ...at("l"), after: 2n, countMax: 9, bytesMax: 99 }],
  ["log", "UPDATE log SET first = 2", { ask: "log", ...at("l"), after: 1n, countMax: 9, bytesMax: 99 }],
  ["blob_reference", "UPDATE blob_reference SET digest = zeroblob(32)", { ask: "blob", ...at("b") }],
  ["blob_reference", "UPDATE blob_reference SET bytes = 2", { ask: "blobs", ...at(""), beyond: undefined, countMax: 9 }],
  ["blob_reference", "UPDATE blob_reference SET created_us = 0", { ask: "references", beyond: undefined, countMax: 9 }],
]

/** Damages one row after the other; answers which damage was not seen by whoever read it, or not found by `check()`. */
async function unseen({ SqliteWriter, SqliteReader, storeLimitsFrom, clockFrom, clockBase }: Modules): Promise<ReadonlyArray<string>> {
  const missed: Array<string> = []
  const whole = join(folder, `${copies++}.db`)
  const writer = SqliteWriter.open(whole, { acceptLoss: false, limits: storeLimitsFrom({}), clock: clockFrom(clockBase()) })
  const link: Operation = { op: "link", ...at("b"), digest: new Uint8Array(32).fill(1), bytes: 1 }
  writer.commit([[set("k"), set("e", "e", { ttlMs: 3_600_000 }), append("l", "1"), append("l", "2"), link]])
  writer.close()
  for (const [table, damage, question] of damages) {
    const path = join(folder, `${copies++}.db`)
    await copyFile(whole, path)
    const database = new DatabaseSync(path)
    database.exec(damage)
    database.close()
    using reader = new SqliteReader(path)
    let code = "an answer"
    try {
      reader.ask(question)
    } catch (error) {
      code = (error as { readonly code: string }).code
    }
    const findings = reader.check().filter((finding) => finding.table === table || finding.detail.includes("too large"))
    if (code !== "STELE-STO-0005" || findings.length === 0) missed.push(`${damage}: ${code}, ${findings.length} findings`)
  }
  return missed
}

t.test("a row whose bytes changed, or that is gone, is an error to whoever reads it and a finding of `check()`", async (t) => {
  t.same(await unseen(await mutated("row.ts", "for (const each of more)", "for (const each of more)")), [])
  const rules = [
    ["row.ts", "for (const each of more)", "for (const each of more.slice(more.length))"],
    ["sqlite/key-value.ts", "if (sumOfRow(place, row) !== row.sum) throw", "if (row.sum === -1) throw"],
    ["sqlite/change.ts", "if (sumOfRow(tenant, row) !== row.sum || ", "if ("],
    ["sqlite/change.ts", "if (sumOfRow(row.tenant, row) !== row.sum)", "if (row.sum === -1)"],
    ["sqlite/log.ts", "if (row.offset !== expected || sumOfRow(place, row) !== row.sum) throw", "if (row.offset !== expected) throw"],
    ["sqlite/log.ts", "if (log !== undefined && sumOfLog(place, log) !== log.sum)", "if (log?.sum === -1)"],
    ["sqlite/log.ts", "if (entries.length < rowsMax(countMax) && expected !== log.last + 1)", "if (entries.length < 0)"],
    ["sqlite/blob.ts", "if (sumOfRow(place, row) !== sum) throw", "if (sum === -1) throw"],
  ] as const
  for (const [file, line, replacement] of rules) t.not((await unseen(await mutated(file, line, replacement))).length, 0, `without: ${line}`)
})

t.test("a damaged end removes no row, and refuses no write", async (t) => {
  /** How many rows there are after two more writes. */
  const left = async ({ SqliteWriter, SqliteReader, storeLimitsFrom, clockFrom, clockBase }: Modules): Promise<number> => {
    const path = join(folder, `${copies++}.db`)
    const open = () => SqliteWriter.open(path, { acceptLoss: false, limits: storeLimitsFrom({}), clock: clockFrom(clockBase()) })
    using first = open()
    first.commit([[set("a"), set("b"), set("c", "c", { ttlMs: 3_600_000 })]])
    first.close()
    const database = new DatabaseSync(path)
    database.exec("UPDATE key_value SET expires_us = 7 WHERE key = x'61'; UPDATE key_value SET expires_us = -9223372036854775807 WHERE key = x'62'")
    database.close()
    using writer = open()
    for (const name of ["d", "e"]) t.ok("answers" in (writer.commit([[set(name)]])[0] as object))
    writer.close()
    using reader = new SqliteReader(path)
    t.ok(reader.check().length > 0)
    const counting = new DatabaseSync(path)
    const { count } = counting.prepare("SELECT count(*) AS count FROM key_value").get() as unknown as { readonly count: number }
    counting.close()
    return count
  }
  t.equal(await left(await mutated("row.ts", "let sum = 0", "let sum = 0")), 5)
  t.equal(
    await left(await mutated("sqlite/key-value.ts", "if (sumOfRow({ tenant, key }, row) === row.sum) this.#remove", "this.#remove")),
    4,
    "without its sum",
  )
})
