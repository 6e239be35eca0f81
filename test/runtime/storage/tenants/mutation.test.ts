/** Each rule that tenants' files have of their own is attacked, holds, is taken out of a copy of the source, and then the same attack must succeed. */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { cp, mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import { DatabaseSync } from "node:sqlite"
import t from "tap"
import type { Operation } from "../../../../runtime/port/store.ts"
import type * as Tenants from "../../../../runtime/storage/tenants/mod.ts"
import type * as Control from "../../../../runtime/storage/tenants/control.ts"

t.setTimeout(600_000)
const root = fileURLToPath(new URL("../../../..", import.meta.url))
const base = await mkdtemp(join(tmpdir(), "stele-tenant-mutation-"))
t.teardown(() => rm(base, { recursive: true, force: true }))
let count = 0

/** A copy of the source in which a line is another: the threads that it starts run it too. */
async function copyOf(file?: string, line = "", replacement = ""): Promise<{ readonly copy: string } & typeof Tenants & Pick<typeof Control, "fileName">> {
  const copy = join(base, `source${count++}`)
  await mkdir(copy)
  await writeFile(join(copy, "package.json"), '{ "type": "module" }')
  for (const part of ["runtime/storage", "runtime/port", "host/port", "schemas/error", "schemas/value"])
    await cp(join(root, part), join(copy, part), { recursive: true })
  if (file !== undefined) {
    const path = join(copy, "runtime/storage", file)
    const source = await readFile(path, "utf8")
    if (source.split(line).length !== 2) throw new Error(`"${line}" is in ${file} ${source.split(line).length - 1} times`)
    await writeFile(
      path,
      source.replace(line, () => replacement),
    )
  }
  const load = <M>(name: string): Promise<M> => import(pathToFileURL(join(copy, "runtime/storage/tenants", name)).href) as Promise<M>
  return { copy, ...(await load<typeof Tenants>("mod.ts")), fileName: (await load<typeof Control>("control.ts")).fileName }
}

type Source = Awaited<ReturnType<typeof copyOf>>
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const set = (tenant: string, name: string, value = name) => ({ op: "set" as const, tenant: bytes(tenant), key: bytes(name), value: bytes(value) })
const get = async (store: Tenants.TenantFilesStore, tenant: string, name: string): Promise<string | undefined> => {
  const found = await store.ask({ ask: "get", tenant: bytes(tenant), key: bytes(name) })
  return found === undefined ? undefined : Buffer.from(found.value).toString()
}
const pathIn = ({ fileName }: Source, folder: string, tenant: string, generation: number): string =>
  join(folder, "tenants", fileName(bytes(tenant), generation))
const apply = (store: Tenants.TenantFilesStore, ...batch: ReadonlyArray<Operation>): Promise<unknown> => store.apply(batch)

async function filled({ TenantFilesStore }: Source, ...tenants: ReadonlyArray<string>): Promise<string> {
  const folder = join(base, `store${count++}`)
  const store = await TenantFilesStore.open(folder, { threadsMax: 1 })
  for (const tenant of tenants) for (const value of ["first", "second"]) await store.apply([set(tenant, "k", `${value} of ${tenant}`)])
  await store.close()
  return folder
}

/** What the attack did: its answer, or the code of what refused it. */
async function outcome(attack: () => Promise<unknown>): Promise<unknown> {
  try {
    return await attack()
  } catch (error) {
    return (error as { readonly code?: string }).code ?? (error as Error).message
  }
}

const whole = await copyOf()

function rule(title: string, file: string, line: string, replacement: string, expected: unknown, attack: (source: Source) => Promise<unknown>): void {
  void t.test(title, async (t) => {
    t.same(await outcome(() => attack(whole)), expected)
    const without = await copyOf(file, line, replacement)
    t.notSame(await outcome(() => attack(without)), expected, "without it")
  })
}

async function exchanged(source: Source, then: (store: Tenants.TenantFilesStore) => Promise<unknown>): Promise<unknown> {
  const folder = await filled(source, "ada", "bob")
  const [ada, bob, aside] = [pathIn(source, folder, "ada", 1), pathIn(source, folder, "bob", 2), join(folder, "objects")]
  await rename(ada, aside)
  await rename(bob, ada)
  await rename(aside, bob)
  await using store = await source.TenantFilesStore.open(folder, { threadsMax: 1 })
  return await then(store)
}

rule(
  "a file that is another tenant's is not read",
  "tenants/file.ts",
  "generation === registered.generation && Buffer.compare(tenant, registered.tenant) === 0",
  "generation >= 0 || tenant === registered.tenant",
  "STELE-STO-0085",
  (source) => exchanged(source, (store) => get(store, "ada", "k")),
)
rule(
  "the name in a file is held against its sum",
  "tenants/file.ts",
  "if (sumOfName(named.tenant, named.generation) !== sum) throw",
  "if (sum === -1) throw",
  "STELE-STO-0085",
  async (source) => {
    const folder = await filled(source, "ada")
    const database = new DatabaseSync(pathIn(source, folder, "ada", 1))
    database.exec("UPDATE stele_tenant SET sum = sum + 1")
    database.close()
    await using store = await source.TenantFilesStore.open(folder, { threadsMax: 1 })
    return await get(store, "ada", "k")
  },
)
rule(
  "a batch is one tenant's",
  "tenants/store.ts",
  "if (tenants.some((each) => Buffer.compare(each, tenant) !== 0))",
  "if (tenants.length > 1e9)",
  "STELE-STO-0028",
  async (source) => {
    await using store = await source.TenantFilesStore.open(await filled(source, "ada"), { threadsMax: 1 })
    return await apply(store, set("ada", "k"), set("bob", "k"))
  },
)
rule(
  "a question goes to its tenant's file",
  "tenants/writers.ts",
  'export const idOf = (tenant: Uint8Array): string => Buffer.from(tenant.buffer, tenant.byteOffset, tenant.length).toString("latin1")',
  'export const idOf = (tenant: Uint8Array): string => String(Math.min(0, tenant.length)).padStart(1, "x")',
  ["ada", "bob"],
  async (source) => {
    await using store = await source.TenantFilesStore.open(join(base, `store${count++}`), { threadsMax: 1 })
    await Promise.all([apply(store, set("ada", "k", "ada")), apply(store, set("bob", "k", "bob"))])
    return [await get(store, "ada", "k"), await get(store, "bob", "k")]
  },
)
rule(
  "a file that went away is a loss",
  "tenants/file.ts",
  "if (registered.isMade && !existsSync(path)) {",
  "if (registered.isMade && path === '') {",
  "STELE-STO-0006",
  async (source) => {
    const folder = await filled(source, "ada")
    await rm(pathIn(source, folder, "ada", 1))
    await using store = await source.TenantFilesStore.open(folder, { threadsMax: 1 })
    return await apply(store, set("ada", "k"))
  },
)
rule(
  "the newest commit of each tenant is known beside its file",
  "tenants/slots.ts",
  "    this.#slots.write(this.#slot, this.#record(commit))",
  "    void this.#record(commit)",
  "STELE-STO-0006",
  async (source) => {
    const folder = await filled(source, "ada")
    const path = pathIn(source, folder, "ada", 1)
    const old = await readFile(path)
    {
      await using store = await source.TenantFilesStore.open(folder, { threadsMax: 1 })
      await apply(store, set("ada", "k", "third"))
    }
    await writeFile(path, old)
    await using store = await source.TenantFilesStore.open(folder, { threadsMax: 1 })
    return await apply(store, set("ada", "k", "fourth"))
  },
)
rule(
  "what is written late of an erased tenant's file says nothing of the next one's",
  "tenants/slots.ts",
  ".filter((each) => each.generation === generation)",
  ".filter((each) => each.generation > 0)",
  "kept",
  async (source) => {
    const folder = await filled(source, "ada")
    const late = await readFile(join(folder, "marks"))
    {
      await using store = await source.TenantFilesStore.open(folder, { threadsMax: 1 })
      await apply(store, { op: "erase", tenant: bytes("ada"), countMax: 1_000 })
      await apply(store, set("bob", "k"))
    }
    await writeFile(join(folder, "marks"), late)
    await using store = await source.TenantFilesStore.open(folder, { threadsMax: 1 })
    await apply(store, set("bob", "k"))
    return "kept"
  },
)
/** What another store writes for a tenant that one erased while the other had its file open. */
const erasedElsewhere = async (source: Source): Promise<unknown> => {
  const folder = await filled(source, "ada")
  await using one = await source.TenantFilesStore.open(folder, { threadsMax: 1 })
  await using other = await source.TenantFilesStore.open(folder, { threadsMax: 1 })
  await apply(other, set("ada", "k", "before"))
  await get(other, "ada", "k")
  await apply(one, { op: "erase", tenant: bytes("ada"), countMax: 1_000 })
  await apply(other, set("ada", "k", "after"))
  return [await get(one, "ada", "k"), await get(other, "ada", "k")]
}
rule(
  "a writer finds out under the lock that its file is no more",
  "tenants/writers.ts",
  "if (now?.generation === found.generation) return",
  "if (found.generation > 0) return",
  ["after", "after"],
  erasedElsewhere,
)
rule(
  "a reader looks whether its file is the tenant's",
  "tenants/readers.ts",
  "open.generation === found?.generation",
  "open.generation > 0",
  ["after", "after"],
  erasedElsewhere,
)
rule(
  "numbers of an erased tenant are not used again",
  "tenants/control.ts",
  "floor: Math.max(state.floor, revision)",
  "floor: state.floor",
  true,
  async (source) => {
    await using store = await source.TenantFilesStore.open(await filled(source, "ada"), { threadsMax: 1 })
    let before = 0
    for (let i = 0; i < 5; i++) [before] = (await apply(store, set("ada", "k"))) as [number]
    await apply(store, { op: "erase", tenant: bytes("ada"), countMax: 1_000 })
    const [after] = (await apply(store, set("ada", "k"))) as [number]
    return after > before
  },
)
rule(
  "a row of the catalogue is held against its sum",
  "tenants/control.ts",
  "if (sumOfRow({ ...rest, isMade }) !== sum)",
  "if (sum === -1)",
  "STELE-STO-0005",
  async (source) => {
    const folder = await filled(source, "ada")
    const database = new DatabaseSync(join(folder, "control.db"))
    database.exec("UPDATE tenant SET slot = slot + 1")
    database.close()
    // No file is looked for by it.
    await using store = await source.TenantFilesStore.open(folder, { threadsMax: 1 })
    return await get(store, "ada", "k")
  },
)
rule(
  "files that the catalogue does not know refuse every write",
  "tenants/store.ts",
  "if (stray !== undefined)",
  "if (stray === '')",
  "STELE-STO-0085",
  async (source) => {
    const folder = await filled(source, "ada")
    await writeFile(pathIn(source, folder, "eve", 9), "x")
    await using store = await source.TenantFilesStore.open(folder, { threadsMax: 1 })
    return await apply(store, set("ada", "k"))
  },
)
rule(
  "a limit of all tenants counts what the others have",
  "tenants/total.ts",
  "return Math.max(0, Number(Atomics.load(this.#sums, table)) - own())",
  "return Math.max(0, Math.min(0, own()))",
  "STELE-CAP-0008",
  async (source) => {
    await using store = await source.TenantFilesStore.open(join(base, `store${count++}`), { threadsMax: 1, keyValue: { totalBytesMax: 100 } })
    await apply(store, set("ada", "k", "x".repeat(80)))
    return await apply(store, set("bob", "k", "x".repeat(80)))
  },
)
rule(
  "an erased tenant's file is removed by the next who opens, should the one who erased it have been killed",
  "tenants/writers.ts",
  "if (!unlink(join(filesOf(this.#control.folder), file))) continue",
  "continue",
  [],
  async (source) => {
    const folder = await filled(source, "ada")
    const path = pathIn(source, folder, "ada", 1)
    const left = await readFile(path)
    {
      await using store = await source.TenantFilesStore.open(folder, { threadsMax: 1 })
      await apply(store, { op: "erase", tenant: bytes("ada"), countMax: 1_000 })
    }
    // As it is left by one who is killed between taking the tenant out of the catalogue and removing its file.
    await writeFile(path, left)
    const database = new DatabaseSync(join(folder, "control.db"))
    database.exec("DELETE FROM free_slot")
    database.prepare("INSERT INTO erased VALUES (1, ?, 0)").run(source.fileName(bytes("ada"), 1))
    database.close()
    await (await source.TenantFilesStore.open(folder, { threadsMax: 1 })).close()
    return (await readdir(join(folder, "tenants"))).filter((name) => name.endsWith(".db"))
  },
)

/** A process whose group has begun when a fence comes: it holds the lock of its tenant's file, and has not committed. */
const holder = `
const { DatabaseSync } = await import("node:sqlite")
const database = new DatabaseSync(process.argv[1], { timeout: 5000 })
database.exec("BEGIN IMMEDIATE")
console.log("begun")
await new Promise((resume) => setTimeout(resume, 400))
database.exec("COMMIT")
console.log(Date.now())
`
const behindFence = async (source: Source): Promise<unknown> => {
  const folder = await filled(source, "ada")
  await using store = await source.TenantFilesStore.open(folder, { threadsMax: 1 })
  const child = spawn(process.execPath, ["--input-type=module", "-e", holder, pathIn(source, folder, "ada", 1)], { stdio: ["ignore", "pipe", "inherit"] })
  const closed = once(child, "close")
  let said = ""
  child.stdout.on("data", (data: Buffer) => (said += data.toString()))
  while (!said.includes("begun")) await once(child.stdout, "data")
  await apply(store, { op: "fence", tenant: bytes(""), fence: { to: "x", state: "moving" } })
  const fencedMs = Date.now()
  await closed
  return fencedMs >= Number(said.split("\n")[1])
}
rule(
  "a fence waits for whoever has begun before it",
  "tenants/writers.ts",
  'database.exec("BEGIN IMMEDIATE; ROLLBACK")',
  'database.exec("BEGIN; ROLLBACK")',
  true,
  behindFence,
)
rule(
  "whoever has the lock later reads the fence",
  "tenants/writers.ts",
  "return fence === undefined ? undefined : this.#control.moved(fence)",
  "return undefined",
  "STELE-STO-0065",
  async (source) => {
    const folder = await filled(source, "ada")
    await using store = await source.TenantFilesStore.open(folder, { threadsMax: 1 })
    await using other = await source.TenantFilesStore.open(folder, { threadsMax: 1 })
    await apply(other, set("ada", "k"))
    await apply(store, { op: "fence", tenant: bytes(""), fence: { to: "x", state: "moving" } })
    return await apply(other, set("ada", "k"))
  },
)
rule(
  "no tenant is entered behind a fence",
  "tenants/control.ts",
  "if (known !== undefined) return [{ found: known, floor: state.floor }, {}]\n      if (fence !== undefined) throw this.moved(fence)",
  "if (known !== undefined) return [{ found: known, floor: state.floor }, {}]",
  [],
  async (source) => {
    const folder = await filled(source)
    await using store = await source.TenantFilesStore.open(folder, { threadsMax: 1 })
    await apply(store, { op: "fence", tenant: bytes(""), fence: { to: "x", state: "moving" } })
    await apply(store, set("ada", "k")).catch(() => {})
    return await readdir(join(folder, "tenants"))
  },
)
