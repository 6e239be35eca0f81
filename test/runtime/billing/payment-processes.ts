/** Nodes in processes of their own that pay invoices, sell and refund, killed at random moments; and what the provider and the books say afterwards. */
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import type { Host } from "../../../host/mod.ts"
import { balanceOf, trialBalance } from "../../../runtime/billing/ledger.ts"
import { checkLedger } from "../../../runtime/billing/ledger-check.ts"
import { addCatalogue, invoiceOf, issue, openBilling, putAccount, subscribe } from "../../../runtime/billing/mod.ts"
import type { Store } from "../../../runtime/port/store.ts"

export interface Plan {
  readonly catalogue: string
  readonly invoices: ReadonlyArray<string>
  readonly sales: ReadonlyArray<{ readonly id: string; readonly amount: string; readonly back: string }>
}

export const program = fileURLToPath(new URL("payment-program.ts", import.meta.url))

interface Done {
  readonly key: string
  readonly kind: string
  readonly amount: bigint
  readonly creator?: string
}

/** What the provider did, by the keys it was asked under. */
export async function doneBy(folder: string): Promise<ReadonlyArray<Done>> {
  const names = await readdir(folder)
  return Promise.all(
    names.toSorted().map(async (name) => {
      const { amount, ...rest } = JSON.parse(await readFile(join(folder, name), "utf8")) as {
        readonly kind: string
        readonly amount: string
        readonly creator?: string
      }
      return { key: decodeURIComponent(name), ...rest, amount: BigInt(amount) }
    }),
  )
}

export interface MoneyCourse {
  /** What the provider was to do, once each, and what it did. */
  readonly wanted: ReadonlyArray<string>
  readonly done: ReadonlyArray<string>
  readonly kills: number
  readonly unpaid: ReadonlyArray<string>
  readonly balances: Readonly<Record<string, string>>
  readonly cash: bigint
  readonly ledger: ReadonlyArray<unknown>
  readonly sums: ReadonlyArray<bigint>
}

const priceList = {
  name: "flat",
  version: "1",
  currency: "EUR",
  units: {},
  meters: [],
  plans: [{ id: "p", interval: { unit: "month", count: 1 }, align: "calendar", charges: [{ id: "base", price: { model: "flat", amount: "10" } }] }],
}

export async function moneyCourse(
  host: Host,
  store: Store,
  address: string,
  folder: string,
  { count, environment = {}, kills }: { readonly count: number; readonly kills: number; readonly environment?: NodeJS.ProcessEnv },
): Promise<MoneyCourse> {
  const provider = join(folder, "provider")
  await mkdir(provider)
  const billing = openBilling({ host, store, entity: "acme" })
  const { digest } = await addCatalogue(billing, JSON.stringify(priceList))
  await putAccount(billing, { id: "ada", zone: "UTC", currency: "EUR" })
  const now = new Date(Number((await billing.now()) / 1_000n))
  const start = BigInt(Date.UTC(now.getUTCFullYear(), now.getUTCMonth(), 1)) * 1_000n
  const invoices: Array<string> = []
  const wanted: Array<string> = []
  for (let n = 0; n < count; n++) {
    await subscribe(billing, { id: `s${n}`, account: "ada", catalogue: digest, plan: "p", start })
    const { invoice } = await issue(billing, `s${n}`)
    if (invoice === undefined) throw new Error("no invoice")
    invoices.push(invoice.id)
    wanted.push(`charge ${invoice.totals.payable.replace(".", "")} invoice/${invoice.id}/1`)
  }
  const sales = Array.from({ length: count }, (_, n) => ({ id: `p${n}`, amount: String(1_001 + n), back: String(333 + n) }))
  for (const { amount, back, id } of sales) {
    wanted.push(`charge ${amount} purchase/${id}`, `refund ${back} refund/${id}/some`, `refund ${Number(amount) - Number(back)} refund/${id}/rest`)
  }
  await writeFile(join(folder, "plan.json"), JSON.stringify({ catalogue: digest, invoices, sales } satisfies Plan))
  const children: Array<ChildProcess> = []
  const begin = (): ChildProcess => {
    const child = spawn(process.execPath, [program, address, provider, "money"], {
      stdio: ["ignore", "pipe", "inherit"],
      env: { ...process.env, ...environment },
    })
    children.push(child)
    return child
  }
  try {
    let killed = 0
    for (let n = 0; n < kills; n++) {
      const child = begin()
      const over = once(child, "exit")
      await Promise.race([once(child.stdout as NodeJS.ReadableStream & NodeJS.EventEmitter, "data"), over])
      await new Promise((resume) => setTimeout(resume, Math.random() * 120))
      if (child.exitCode === null && child.kill("SIGKILL")) killed++
      await over
    }
    const codes = await Promise.all([begin(), begin()].map(async (child) => (await once(child, "exit"))[0] as number | null))
    if (codes.some((code) => code !== 0)) throw new Error(`Nodes ended with ${codes.join(", ")}`)
    const found = await doneBy(provider)
    const states = await Promise.all(invoices.map(async (id) => ({ id, status: (await invoiceOf(billing, id)).state.status })))
    const names = ["receivable/ada", "wallet/ada", "payable/eve", "revenue/platform"]
    const balances = Object.fromEntries(await Promise.all(names.map(async (name) => [name, String(await balanceOf(billing, name, "EUR"))] as const)))
    return {
      wanted: wanted.toSorted(),
      done: found.map(({ amount, key, kind }) => `${kind} ${amount} ${key.replace(/^acme\//, "")}`).toSorted(),
      kills: killed,
      unpaid: states.filter(({ status }) => status !== "paid").map(({ id }) => id),
      balances,
      cash: (await balanceOf(billing, "cash/file", "EUR")) - found.reduce((sum, { amount, kind }) => sum + (kind === "charge" ? amount : -amount), 0n),
      ledger: await checkLedger(billing),
      sums: [...(await trialBalance(billing)).totals.values()],
    }
  } finally {
    for (const child of children) if (child.exitCode === null) child.kill("SIGKILL")
    await billing.close()
  }
}

/** What it must come to. */
export const settled = {
  unpaid: [],
  balances: { "receivable/ada": "0", "wallet/ada": "0", "payable/eve": "0", "revenue/platform": "0" },
  cash: 0n,
  ledger: [],
  sums: [0n],
}
