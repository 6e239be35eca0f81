/** A database through the command line: set up, used by `stele up`, killed, moved there and back. */
import { spawn } from "node:child_process"
import { randomBytes } from "node:crypto"
import { once } from "node:events"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import t from "tap"
import { digestOf } from "../../../../runtime/storage/record.ts"
import { openStores, type Stores } from "../../../../runtime/storage/storage.ts"
import { example, root, stele } from "../../command-line.ts"
import { missing, startServer } from "./server.ts"

t.setTimeout(280_000)
const why = await missing()
const folder = await mkdtemp(join(tmpdir(), "stele-server-"))
t.teardown(() => rm(folder, { recursive: true, force: true }))

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

async function fill({ store, objects }: Stores): Promise<void> {
  for (const name of ["ada", "bob", ""]) {
    const tenant = bytes(name)
    await Promise.all(Array.from({ length: 300 }, (_, i) => store.apply([{ op: "set", tenant, key: bytes(`k${i}`), value: bytes(`v${i}`) }])))
    const { digest } = await objects.put(bytes(`object of ${name}`))
    await store.apply([
      { op: "set", tenant, key: bytes("ends"), value: bytes("later"), ttlMs: 3_600_000 },
      { op: "delete", tenant, key: bytes("k7") },
      { op: "publish", tenant, key: bytes("topic"), payload: bytes("event") },
      ...Array.from({ length: 20 }, (_, i) => ({ op: "append" as const, tenant, key: bytes("journal"), payload: bytes(String(i)) })),
      { op: "trim", tenant, key: bytes("journal"), before: 5n },
      { op: "link", tenant, key: bytes("object"), digest: Buffer.from(digest, "hex"), bytes: 10 + name.length },
    ])
  }
}

async function digests({ store }: Stores): Promise<Record<string, string>> {
  const found: Record<string, string> = {}
  for (const tenant of await store.ask({ ask: "tenants", after: undefined, countMax: 100 }))
    for (const table of ["key_value", "event", "log", "blob_reference"])
      found[`${Buffer.from(tenant).toString()} ${table}`] = (await digestOf(store, tenant, table)).digest
  return found
}

t.test("a database is set up, used, killed and moved by the command line alone", { skip: why ?? false }, async (t) => {
  const server = await startServer()
  t.teardown(() => server.close())
  const secret = join(folder, "password")
  await writeFile(secret, `${server.password}\n`)
  const env = {
    STELE_STORAGE_PASSWORD_FILE: secret,
    STELE_STORAGE_SERVICE_PASSWORD_FILE: secret,
    STELE_STORAGE_WORKER_PASSWORD_FILE: secret,
    XDG_DATA_HOME: folder,
  }
  Object.assign(process.env, env)
  server.database("house")
  const [owner, service] = [server.address("owner", "house"), server.address("stele_service", "house")]

  const early = stele(["up", "--once", "--storage", service], { env })
  t.not(early.code, 0, "nothing is set up yet")
  const dry = stele(["storage", "migrate", owner, "--dry-run"], { env })
  t.match(dry, { code: 0, stdout: /Would go from format 0 to [^]*Would make the role stele_service/ }, dry.stderr)
  const first = stele(["storage", "migrate", owner], { env })
  t.equal(first.code, 0, first.stderr)
  t.match(first.stdout, /Made the role stele_service[^]*Services use postgres:\/\/stele_service@/)
  t.match(stele(["storage", "migrate", owner], { env }).stdout, /Nothing to do/)
  t.equal(stele(["up", "--once", "--storage", owner], { env }).code, 5, "the owner is no service")

  const child = spawn(process.execPath, [join(root, "runtime/cli/main.ts"), "up", "--json", "--storage", service], {
    cwd: root,
    stdio: ["pipe", "pipe", "inherit"],
    env: { ...process.env, ...env },
  })
  child.stdin.write([`load ${example("snoop")} --as clerk --grant log --grant kv:write:prices/*`, "call clerk tamper", "revoke clerk log", ""].join("\n"))
  let text = ""
  for await (const chunk of child.stdout) {
    text += String(chunk)
    if (text.split("\n").length > 4) break
  }
  const exited = once(child, "exit")
  child.kill("SIGKILL")
  await exited
  const again = stele(["up", "--json", "--storage", service], { env, input: 'inspect clerk\ncall greeter greet {name: "Bo"}\n' })
  const [run = "", clerk = "", greeting = ""] = again.stdout.split("\n")
  t.match(JSON.parse(run), { isOk: true, restored: ["clerk", "greeter", "nearest", "spinner", "table-stats", "text-stats"] })
  t.match(JSON.parse(clerk), { grants: { granted: ["kv:write:prices/*"] } })
  t.match(JSON.parse(greeting), { result: { message: "Hello, Bo!", teaPrice: "0.00" } }, "what was written before the kill is there")

  const found = stele(["storage", "info", service], { env })
  t.equal(found.code, 0, found.stderr)
  t.match(found.stdout, /PostgreSQL \d+[^]*key-value +\d+ keys/)
  const doctor = stele(["doctor", service, "--json"], { env })
  t.equal(doctor.code, 0, doctor.stdout)
  t.match(JSON.parse(doctor.stdout), {
    diagnoses: [{ about: "engine" }, { about: "store", status: "ok" }, { about: "server" }, { about: "sync", status: "ok" }],
  })
  t.match(stele(["doctor", service.replace("stele_service", "nobody"), "--json"], { env }), { code: 3, stdout: /STELE_STORAGE_PASSWORD_FILE/ })
  const checked = stele(["storage", "check", service], { env })
  t.equal(checked.code, 0, checked.stdout)

  // Sealed: what plugins stored is read by who has the key, and by nobody else.
  const key = join(folder, "key")
  await writeFile(key, randomBytes(32))
  const dryRotation = stele(["storage", "rotate", service, "--storage-key", `file:${key}`, "--dry-run"], { env })
  t.equal(dryRotation.code, 0, dryRotation.stderr)
  for (const round of [1, 2]) {
    const rotated = stele(["storage", "rotate", service, "--storage-key", `file:${key}`, "--json"], { env })
    t.equal(rotated.code, 0, `round ${round}: ${rotated.stdout}${rotated.stderr}`)
    t.ok((JSON.parse(rotated.stdout) as { readonly records: number }).records > 0)
  }
  t.match(stele(["up", "--once", "--storage", service], { env }), { stderr: /STELE-STO-0073/ })
  t.notMatch(server.sql("SELECT encode(value, 'escape') FROM stele.key_value", "house"), /0\.00/)
  const opened = stele(["up", "--json", "--storage", service, "--storage-key", `file:${key}`], { env, input: 'call greeter greet {name: "Bo"}\n' })
  t.match(JSON.parse(opened.stdout.split("\n")[1] ?? ""), { result: { teaPrice: "0.00" } }, opened.stderr)
  t.equal(stele(["storage", "check", service], { env }).code, 0)

  // There and back: versions, ends, offsets and objects are the same in all three.
  server.database("second")
  t.equal(stele(["storage", "migrate", server.address("owner", "second")], { env }).code, 0)
  const [start, middle, end] = [`sqlite:${join(folder, "start.db")}`, server.address("stele_service", "second"), `sqlite:${join(folder, "end.db")}`]
  const stores = await openStores(start)
  await fill(stores)
  const before = await digests(stores)
  const version = (await stores.store.ask({ ask: "get", tenant: bytes("ada"), key: bytes("k3") }))?.version
  await stores.close()
  for (const [from, to] of [
    [start, middle],
    [middle, end],
  ] as const) {
    const moved = stele(["storage", "move", from, to, "--json"], { env })
    t.equal(moved.code, 0, moved.stdout + moved.stderr)
    const { pauseMs } = JSON.parse(moved.stdout) as { readonly pauseMs: number }
    t.ok(pauseMs < 1_000, `${pauseMs} ms`)
    const target = await openStores(to, { overseer: true })
    t.same(await digests(target), before, to)
    t.equal((await target.store.ask({ ask: "get", tenant: bytes("ada"), key: bytes("k3") }))?.version, version)
    t.same(await target.store.check(), [])
    const [next] = await target.store.apply([{ op: "set", tenant: bytes("ada"), key: bytes("probe"), value: bytes("") }])
    t.ok(next > (version ?? Infinity))
    await target.store.apply([{ op: "delete", tenant: bytes("ada"), key: bytes("probe") }])
    await target.close()
  }

  // Objects of the database are looked at where they are on this machine, or where somebody says.
  const looked = stele(["storage", "check", middle], { env })
  t.match(looked, { code: 0, stdout: /and every object that is referred to is there/ }, looked.stderr)
  const elsewhere = stele(["storage", "check", middle, "--objects", `folder:${join(folder, "empty")}`, "--json"], { env })
  t.match(elsewhere, { code: 3, stdout: /it is not there, and referred to by ada\/object/ }, elsewhere.stderr)
  const blind = stele(["storage", "check", middle], { env: { ...env, XDG_DATA_HOME: join(folder, "other") } })
  t.match(blind, { code: 0, stdout: /every row is as it was written\n$/, stderr: /Objects were not looked at[^]*--objects/ })
  t.match(stele(["storage", "check", middle.replace("stele_service", "stele_worker")], { env }).stdout, /every object/, "whoever asks")
  const source = await openStores(middle)
  await t.rejects(source.store.apply([{ op: "delete", tenant: bytes("ada"), key: bytes("k1") }]), { code: "STELE-STO-0065" })
  t.throws(() => source.store.applySync([{ op: "delete", tenant: bytes("bob"), key: bytes("k1") }]), { code: "STELE-STO-0065" })
  await source.close()
})
