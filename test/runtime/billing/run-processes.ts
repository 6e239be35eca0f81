/** Three processes bill one entity and are killed at random moments, until all is billed. What the books hold afterwards is compared with what one process makes in peace. */
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { readFile } from "node:fs/promises"
import { fileURLToPath } from "node:url"
import type { Host } from "../../../host/mod.ts"
import type { Store } from "../../../runtime/port/store.ts"
import {
  addCatalogue,
  type Billing,
  changeSubscription,
  documentNumbered,
  invoices,
  lastNumber,
  openBilling,
  putAccount,
  runBilling,
  subscribe,
} from "../../../runtime/billing/mod.ts"
import { checkLedger } from "../../../runtime/billing/ledger-check.ts"
import { MemoryStore } from "../../../runtime/storage/sqlite/memory.ts"
import { at, calls, keep } from "./usage.ts"

const program = fileURLToPath(new URL("run-program.ts", import.meta.url))
const graceMs = 3_600_000
const from = "2026-05-01"
const over = "2026-08-15"
/** One that opens, three full months and the last half. */
const perSubscription = 5

export async function setUp(host: Host, store: Store, subscriptions: number): Promise<Billing> {
  const billing = openBilling({ host, store, entity: "acme", limits: { graceMs } })
  const text = await readFile(new URL("../../../schemas/billing/executions-2025.json", import.meta.url), "utf8")
  const { digest } = await addCatalogue(billing, text)
  for (let i = 0; i < subscriptions; i++) {
    const id = `a${String(i).padStart(3, "0")}`
    await putAccount(billing, { id, zone: i % 2 === 0 ? "UTC" : "Europe/Vienna", currency: "USD", taxes: [{ code: "vat", rate: "20", treatment: "standard" }] })
    await subscribe(billing, { id: `s-${id}`, account: id, catalogue: digest, plan: "professional", start: at(from) })
    await changeSubscription(billing, `s-${id}`, { what: "cancel", at: at(over) })
    await keep(store, id, calls(id, from, over, 40, i + 1))
  }
  return billing
}

/** Everything about invoices but when they were issued and their numbers, which depend on the order. */
async function contents(billing: Billing): Promise<ReadonlyArray<string>> {
  const found: Array<string> = []
  for await (const { invoice, state } of invoices(billing)) {
    const { dueAt: _due, issuedAt: _issued, number: _number, ...rest } = invoice
    found.push(JSON.stringify([rest, state.status], (_, value: unknown) => (typeof value === "bigint" ? String(value) : value)))
  }
  return found.toSorted()
}

export interface Course {
  readonly kills: number
  readonly invoices: number
  readonly expected: number
  /** Invoices that another content was written for, or that are missing or too many. */
  readonly different: number
  /** Numbers that no invoice has, or that two have. */
  readonly numbers: ReadonlyArray<string>
  readonly ledger: ReadonlyArray<unknown>
}

/** What numbers lead to: each to another invoice that says so itself. */
async function numberProblems(billing: Billing, count: number): Promise<ReadonlyArray<string>> {
  const problems: Array<string> = []
  const last = await lastNumber(billing, "INV")
  if (last !== count) problems.push(`${last} numbers for ${count} invoices`)
  const byId = new Map((await Array.fromAsync(invoices(billing))).map(({ invoice }) => [invoice.id, invoice.number]))
  const seen = new Set<string>()
  for (let n = 1; n <= last; n++) {
    const id = await documentNumbered(billing, "INV", n)
    if (id === undefined || seen.has(id) || byId.get(id) !== `INV-${String(n).padStart(6, "0")}`) problems.push(`number ${n}: ${id}`)
    else seen.add(id)
  }
  return problems
}

export async function course(
  host: Host,
  store: Store,
  address: string,
  { environment = {}, kills, subscriptions }: { readonly environment?: NodeJS.ProcessEnv; readonly kills: number; readonly subscriptions: number },
): Promise<Course> {
  const billing = await setUp(host, store, subscriptions)
  await using peace = new MemoryStore()
  const alone = await setUp(host, peace, subscriptions)
  const report = await runBilling(alone)
  if (report.failed.length > 0) throw new Error(JSON.stringify(report.failed))
  const wanted = await contents(alone)

  const running = new Set<ChildProcess>()
  let [issued, killed, done] = [0, 0, 0]
  let next = 3
  let failure: Error | undefined
  const begin = (): void => {
    const child = spawn(process.execPath, [program, address, String(graceMs)], { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, ...environment } })
    running.add(child)
    let said = ""
    child.stderr.on("data", (data: Buffer) => (said += data.toString()))
    child.stdout.on("data", (data: Buffer) => {
      for (const line of data.toString().split("\n")) {
        if (line.startsWith("issued ")) issued++
        if (line === "done") done++
      }
      if (issued >= next && killed < kills) {
        next = issued + Math.max(1, Math.floor((wanted.length / (kills + 2)) * (0.5 + Math.random())))
        // Somewhere in whatever one of them is doing.
        setTimeout(kill, Math.random() * 40)
      }
    })
    child.once("exit", (code, signal) => {
      running.delete(child)
      if (signal !== "SIGKILL" && code !== 0) failure ??= new Error(`A process ended with ${code ?? signal}: ${said}`)
    })
  }
  const kill = (): void => {
    const victims = [...running]
    const victim = victims[Math.floor(Math.random() * victims.length)]
    if (victim === undefined) return
    killed++
    victim.kill("SIGKILL")
    begin()
  }
  try {
    for (let i = 0; i < 3; i++) begin()
    const isUnderWay = (): boolean => running.size > 0 && failure === undefined
    while (isUnderWay()) await Promise.race([...running].map((child) => once(child, "exit")))
    if (failure !== undefined) throw failure
    if (done === 0) throw new Error("No process came to an end")
  } finally {
    for (const child of running) child.kill("SIGKILL")
  }
  const found = await contents(billing)
  const different = new Set([...found.filter((one) => !wanted.includes(one)), ...wanted.filter((one) => !found.includes(one))]).size
  const result = {
    kills: killed,
    invoices: found.length,
    expected: subscriptions * perSubscription,
    different,
    numbers: await numberProblems(billing, found.length),
    ledger: await checkLedger(billing),
  }
  await billing.close()
  await alone.close()
  return result
}
