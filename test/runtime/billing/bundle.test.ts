/** Bundles of invoices: the same bytes for the same content, every changed byte found, computed anew by what is in them alone, hostile ones refused. */
import { appendFile, mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import { tmpdir } from "node:os"
import { join } from "node:path"
import t from "tap"
import { addCatalogue, issue, openBilling, putAccount, subscribe } from "../../../runtime/billing/mod.ts"
import { bundleLimits, BundleWriter, openBundle } from "../../../runtime/billing/bundle-file.ts"
import { bundleOf } from "../../../runtime/billing/bundle.ts"
import { namedPriceList } from "../../../runtime/billing/price-list.ts"
import { kinds } from "../../../runtime/billing/record.ts"
import { verifyBundle } from "../../../runtime/billing/verify.ts"
import { at, calls, keep, openHost, randomFrom, storeAt } from "./usage.ts"
import { isFull } from "../../seed.ts"

t.setTimeout(300_000)
const folder = await mkdtemp(join(tmpdir(), "stele-bundle-"))
const host = await openHost()
t.teardown(async () => {
  await host[Symbol.asyncDispose]()
  await rm(folder, { recursive: true })
})

const codeOf = async (work: () => Promise<unknown>): Promise<string> => {
  try {
    await work()
    return "accepted"
  } catch (error) {
    const { reason, code } = error as { readonly reason?: { readonly _tag: string }; readonly code?: string }
    if (code === undefined) throw error
    return reason?._tag ?? code
  }
}

/** The bundle of a month's invoice, as bytes. */
async function bundled(count: number, list?: object): Promise<Uint8Array> {
  const store = storeAt("2026-01-01")
  await using billing = openBilling({ host, store, entity: "acme" })
  const { digest } = await addCatalogue(billing, list === undefined ? ((await namedPriceList("executions-2025")) as string) : JSON.stringify(list))
  await putAccount(billing, { id: "ada", zone: "Europe/Vienna", currency: "USD", taxes: [{ code: "vat", rate: "20", treatment: "standard" }] })
  await subscribe(billing, { id: "s", account: "ada", catalogue: digest, plan: "professional", start: at("2025-12-31T23:00:00Z") })
  await issue(billing, "s")
  store.set("2026-02-01T03:00:00Z")
  await keep(store, "ada", calls("ada", "2026-01-01", "2026-01-31", count))
  const { invoice } = await issue(billing, "s")
  if (invoice === undefined) throw new Error("no invoice")
  const chunks: Array<Uint8Array> = []
  await bundleOf(billing, invoice.id, async (bytes) => void chunks.push(bytes.slice()))
  const again: Array<Uint8Array> = []
  await bundleOf(billing, invoice.id, async (bytes) => void again.push(bytes.slice()))
  if (Buffer.compare(Buffer.concat(chunks), Buffer.concat(again)) !== 0) throw new Error("two bundles of one invoice differ")
  return new Uint8Array(Buffer.concat(chunks))
}

const file = async (name: string, bytes: Uint8Array): Promise<string> => {
  const path = join(folder, name)
  await writeFile(path, bytes)
  return path
}

/** A list whose meters are rated event by event. */
const byEvent = {
  name: "events",
  version: "1",
  currency: "USD",
  units: { gb: { exponent: 9 } },
  meters: [{ id: "largest", unit: "gb", aggregation: "latest", event: "network-bandwidth", value: "gb" }],
  plans: [
    {
      id: "professional",
      interval: { unit: "month", count: 1 },
      align: "calendar",
      charges: [
        { id: "base", price: { model: "flat", amount: "9.99" } },
        { id: "last", meter: "largest", price: { model: "unit", price: "10" } },
      ],
    },
  ],
}

const sums = await bundled(isFull ? 20_000 : 3_000)
const events = await bundled(400, byEvent)

t.test("a bundle is verified from itself alone, to the last digit", async (t) => {
  const found = await verifyBundle(await file("sums.bundle", sums))
  t.match(found, { lines: 6, sums: 4, rows: 0, invoice: { number: "INV-000002" } })
  t.ok(found.invoice.totals.payable !== "0.00", found.invoice.totals.payable)
  t.match(await verifyBundle(await file("events.bundle", events)), { rows: 400, sums: 0 }, "what is rated event by event, too")
  t.match(await verifyBundle(join(folder, "sums.bundle"), { digest: found.digest }), { digest: found.digest })
  t.equal(await codeOf(() => verifyBundle(join(folder, "events.bundle"), { digest: found.digest })), "Bundle", "another than the one that is meant")
  const listed = spawnSync("tar", ["-tf", join(folder, "events.bundle")], { encoding: "utf8" })
  if (listed.error === undefined)
    t.match(listed.stdout, /^invoice\.json\ncatalogue\nrules\.wasm\nzones\nratings\.json\nusage\/0\/000000\.json\nrecords\/0\/000000\.jsonl\n/)
})

/** A file with the rules' component left out of it, so that every byte can be tried. */
async function small(): Promise<Uint8Array> {
  const chunks: Array<Uint8Array> = []
  const writer = new BundleWriter(async (bytes) => void chunks.push(bytes.slice()))
  await writer.part("invoice.json", '{"id":"s"}')
  await writer.part("catalogue", "{}")
  await writer.finish({ format: "stele bundle 1" })
  return new Uint8Array(Buffer.concat(chunks))
}

t.test("every byte that is another is found", async (t) => {
  const whole = await small()
  const path = await file("small.bundle", whole)
  let kept = 0
  for (let i = 0; i < whole.length; i++) {
    const other = whole.slice()
    other[i] = (other[i] as number) ^ (1 << (i % 8))
    await writeFile(path, other)
    if ((await codeOf(async () => (await openBundle(path))[Symbol.asyncDispose]())) === "accepted") kept++
  }
  t.equal(kept, 0, `${whole.length} bytes`)
  const random = randomFrom(7)
  const tries = isFull ? 2_000 : 40
  let missed = 0
  for (let n = 0; n < tries; n++) {
    const i = Math.floor(random() * events.length)
    const other = events.slice()
    other[i] = (other[i] as number) ^ (1 + Math.floor(random() * 255))
    await writeFile(path, other)
    if ((await codeOf(() => verifyBundle(path))) === "accepted") missed++
  }
  t.equal(missed, 0, `${tries} of ${events.length} bytes`)
})

let forgeries = 0
/** The parts of a bundle, written again with what `change` makes of each: as somebody would who can compute digests, too. */
async function forged(whole: Uint8Array, change: (name: string, bytes: Uint8Array) => Uint8Array | string): Promise<string> {
  const path = await file("source.bundle", whole)
  await using source = await openBundle(path)
  const chunks: Array<Uint8Array> = []
  const writer = new BundleWriter(async (bytes) => void chunks.push(bytes.slice()))
  for (const { name } of source.parts) await writer.part(name, change(name, await source.read(name)))
  await writer.finish({ format: "stele bundle 1" })
  return file(`forged-${forgeries++}.bundle`, new Uint8Array(Buffer.concat(chunks)))
}

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)
const digestOf = (bytes: Uint8Array): string => `sha256:${createHash("sha256").update(bytes).digest("hex")}`

t.test("an invoice that its usage does not make is found, whoever computed the digests", async (t) => {
  const changed = (part: string, from: RegExp, to: string) =>
    forged(events, (name, bytes) => {
      if (name !== part) return bytes
      const made = text(bytes).replace(from, to)
      if (made === text(bytes)) throw new Error(`${part} has no ${from.source}`)
      return made
    })
  for (const [what, path, code] of [
    ["a line", await changed("invoice.json", /("amount":")\d/, "$17"), "Differs"],
    ["a total", await changed("invoice.json", /("payable":")\d/, "$17"), "Differs"],
    ["a quantity", await changed("usage/0/000000.json", /"(\d+)"\],"scale"/, '"7$1"],"scale"'), "Differs"],
    ["the price list", await changed("catalogue", /"10"/, '"11"'), "Bundle"],
    ["a time", await changed("invoice.json", /"dueAt":"\d/, '"dueAt":"x'), "Bundle"],
  ] as const)
    t.equal(await codeOf(() => verifyBundle(path)), code, what)
})

t.test("hostile files are refused, each by its own error", async (t) => {
  const header = (name: string, size: string, more: Readonly<Record<number, string>> = {}): Uint8Array => {
    const bytes = new Uint8Array(512)
    const put = (at: number, value: string): void => bytes.set(new TextEncoder().encode(value), at)
    put(0, name)
    for (const [at, value] of [
      [100, "0000644\0"],
      [108, "0000000\0"],
      [116, "0000000\0"],
      [124, `${size}\0`],
      [136, "00000000000\0"],
      [148, "        "],
      [156, "0"],
      [257, "ustar\x0000"],
    ] as const)
      put(at, value)
    for (const [at, value] of Object.entries(more)) put(Number(at), value)
    put(
      148,
      `${bytes
        .reduce((sum, byte) => sum + byte, 0)
        .toString(8)
        .padStart(6, "0")}\0 `,
    )
    return bytes
  }
  const blocks = (...parts: ReadonlyArray<Uint8Array>): Uint8Array => new Uint8Array(Buffer.concat([...parts, new Uint8Array(2_048)]))
  const twice: Array<Uint8Array> = []
  const writer = new BundleWriter(async (bytes) => void twice.push(bytes.slice()))
  await writer.part("catalogue", "{}")
  await writer.part("catalogue", "{}")
  await writer.finish({})
  const long = await small()
  for (const [what, bytes, expected] of [
    ["nothing", new Uint8Array(0), "Bundle"],
    ["a gzip", new Uint8Array(4_096).fill(0x1f), "Bundle"],
    ["a path that climbs", blocks(header("../../etc/passwd", "00000000000")), "Bundle"],
    ["an absolute path", blocks(header("/catalogue", "00000000000")), "Bundle"],
    ["a link", blocks(header("catalogue", "00000000000", { 156: "2", 157: "/etc/passwd" })), "Bundle"],
    ["a size beyond the file", blocks(header("catalogue", "00000077777")), "Bundle"],
    ["a size of 8 GiB", blocks(header("catalogue", "77777777777")), "BundleLimit"],
    ["a huge manifest", blocks(header("manifest.json", "01000000000")), "BundleLimit"],
    ["a name twice", new Uint8Array(Buffer.concat(twice)), "Bundle"],
    ["its end cut off", long.slice(0, long.length - 512), "Bundle"],
    ["more behind its end", new Uint8Array(Buffer.concat([long, new Uint8Array(512)])), "Bundle"],
  ] as const)
    t.equal(await codeOf(async () => verifyBundle(await file("hostile.bundle", bytes))), expected, what)
  const path = await file("sums.bundle", sums)
  t.equal(await codeOf(() => verifyBundle(path, { limits: { fileBytesMax: 1_024 } })), "BundleLimit")
  t.equal(await codeOf(() => verifyBundle(path, { limits: { partsMax: 2 } })), "BundleLimit")
  t.equal(await codeOf(() => verifyBundle(path, { limits: { ...bundleLimits, verifyMsMax: 0 } })), "BundleLimit")
  await appendFile(path, "x")
  t.equal(await codeOf(() => verifyBundle(path)), "Bundle")
})

t.test("rules that do not stop, want something, or are none end with an error", async (t) => {
  const spinner = new Uint8Array(await readFile(new URL("../../../plugins/examples/spinner/build/spinner.wasm", import.meta.url)))
  const withRules = (rules: Uint8Array) =>
    forged(sums, (name, bytes) => {
      if (name === "rules.wasm") return rules
      return name === "invoice.json" ? kinds.invoice.encode({ ...kinds.invoice.decode(text(bytes)), rules: digestOf(rules) }) : bytes
    })
  t.equal(await codeOf(async () => verifyBundle(await withRules(spinner))), "Bundle", "a component of another world")
  t.equal(await codeOf(async () => verifyBundle(await withRules(new Uint8Array(8)))), "Bundle", "no component")
  const plain = await file("plain.bundle", sums)
  t.equal(await codeOf(() => verifyBundle(plain, { rulesLimits: { deadlineMs: 0.001 } })), "RulesStopped")
})
