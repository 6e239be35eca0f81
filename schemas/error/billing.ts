import type { Problem } from "./author.ts"
import { family, reason } from "./family.ts"

const count = (n: number, thing: string): string => `${n} ${thing}${n === 1 ? "" : "s"}`

/** The command that lists what there is of a kind. */
const lists: Readonly<Record<string, string>> = {
  invoice: "stele invoice list",
  subscription: "stele account show ACCOUNT",
  "price list": "stele prices list",
}

/** What billing refuses: price lists, what the rules say of them, and what cannot be carried over from another system; transactions of the ledger. */
export class BillingError extends family("BillingError", {
  PriceList: reason<{ readonly file: string; readonly problems: ReadonlyArray<Problem & { readonly kind: string; readonly path: string }> }>({
    code: "STELE-BIL-0001",
    status: 422,
    exit: 3,
    isRetryable: false,
    message: (d) => `Cannot use the price list "${d.file}": ${count(d.problems.length, "problem")}`,
    fix: (d) => `correct the places shown: stele prices check ${d.file}`,
  }),
  Rules: reason<{ readonly kind: string; readonly path: string; readonly detail: string }>({
    code: "STELE-BIL-0002",
    status: 422,
    exit: 1,
    isRetryable: false,
    message: (d) => `The billing rules refuse this as ${d.kind}${d.path === "" ? "" : ` at ${d.path}`}: ${d.detail}`,
    fix: () => "correct what the path names",
  }),
  PriceListName: reason<{ readonly name: string; readonly known: ReadonlyArray<string> }>({
    code: "STELE-BIL-0003",
    status: 404,
    exit: 4,
    isRetryable: false,
    message: (d) => `Cannot find the price list "${d.name}"`,
    fix: (d) => `name a file, or one of ${d.known.join(", ")}`,
  }),
  Inconvertible: reason<{ readonly from: string; readonly file: string; readonly problems: ReadonlyArray<Problem> }>({
    code: "STELE-BIL-0004",
    status: 422,
    exit: 3,
    isRetryable: false,
    message: (d) => `Cannot convert "${d.file}" from ${d.from}: ${count(d.problems.length, "field")} cannot be carried over`,
    fix: (d) => d.problems[0]?.fix ?? "take out what cannot be carried over, and say it in the price list by hand",
  }),
  Format: reason<{ readonly file: string; readonly detail: string }>({
    code: "STELE-BIL-0005",
    status: 422,
    exit: 3,
    isRetryable: false,
    message: (d) => `Cannot compare the price list "${d.file}": ${d.detail}`,
    fix: () => "compare lists in the format of schemas/billing/catalogue.ts; rules of your own may read others, which only they know",
  }),
  Events: reason<{ readonly file: string; readonly line: number; readonly detail: string }>({
    code: "STELE-BIL-0006",
    status: 400,
    exit: 3,
    isRetryable: false,
    message: (d) => `Cannot read the events of "${d.file}": line ${d.line}: ${d.detail}`,
    fix: () => 'give one event a line, as JSON {"name", "at", "id", "properties"}, or as CSV with the columns name, at, id and one for each property',
  }),
  Transaction: reason<{ readonly transaction: string; readonly detail: string }>({
    code: "STELE-BIL-0007",
    status: 422,
    exit: 1,
    isRetryable: false,
    message: (d) => `Cannot book the transaction "${d.transaction}": ${d.detail}`,
    fix: () => "correct the transaction: the postings of each currency add up to 0, in the currency's smallest unit",
  }),
  TransactionConflict: reason<{ readonly transaction: string }>({
    code: "STELE-BIL-0008",
    status: 409,
    exit: 6,
    isRetryable: false,
    message: (d) => `Cannot book the transaction "${d.transaction}": the ledger has one of this id with another content`,
    fix: () => "give another transaction another id; what is booked is corrected by a transaction of its own",
  }),
  Row: reason<{ readonly entity: string; readonly key: string; readonly detail: string }>({
    code: "STELE-BIL-0009",
    status: 500,
    exit: 3,
    isRetryable: false,
    message: (d) => `Cannot read "${d.key}" of the books of "${d.entity}": ${d.detail}`,
    fix: () => "restore a backup: something else has written to these rows",
  }),
  BalanceLimit: reason<{ readonly transaction: string; readonly digitsMax: number }>({
    code: "STELE-BIL-0010",
    status: 422,
    exit: 7,
    isRetryable: false,
    message: (d) => `Cannot book the transaction "${d.transaction}": a balance would have more than ${d.digitsMax} digits in the currency's smallest unit`,
    fix: () => "book to several accounts, or choose a unit with fewer digits after the point",
  }),
  LedgerBusy: reason<{ readonly entity: string; readonly attempts: number }>({
    code: "STELE-BIL-0011",
    status: 503,
    exit: 69,
    isRetryable: true,
    message: (d) => `Cannot check the ledger of "${d.entity}": it was written to during each of ${d.attempts} attempts to read its balances`,
    fix: () => "check it while less is booked, or check a restored backup",
  }),
  Zone: reason<{ readonly zone: string; readonly release: string; readonly didYouMean: ReadonlyArray<string> }>({
    code: "STELE-BIL-0012",
    status: 422,
    exit: 4,
    isRetryable: false,
    message: (d) => `Cannot find the time zone "${d.zone}" in release ${d.release} of the IANA database`,
    fix: (d) =>
      d.didYouMean.length === 0
        ? 'name a zone as that database spells it, such as "Europe/Vienna"'
        : `name it as that database spells it: ${d.didYouMean.join(", ")}`,
  }),
  ZoneSpan: reason<{
    readonly zone: string
    readonly release: string
    readonly from: string
    readonly until: string
    readonly start: string
    readonly end: string
  }>({
    code: "STELE-BIL-0013",
    status: 422,
    exit: 7,
    isRetryable: false,
    message: (d) => `Cannot compute days of "${d.zone}" from ${d.start} to ${d.end}: the table of release ${d.release} holds ${d.from} to ${d.until}`,
    fix: (d) => `choose instants from ${d.from} up to ${d.until}`,
  }),
  Unknown: reason<{ readonly what: string; readonly id: string; readonly entity: string }>({
    code: "STELE-BIL-0014",
    status: 404,
    exit: 4,
    isRetryable: false,
    message: (d) => `Cannot find the ${d.what} "${d.id}" in the books of "${d.entity}"`,
    fix: (d) => `correct the id; what is there: ${lists[d.what] ?? "stele account list"}`,
  }),
  Taken: reason<{ readonly what: string; readonly id: string; readonly detail: string }>({
    code: "STELE-BIL-0015",
    status: 409,
    exit: 6,
    isRetryable: false,
    message: (d) => `Cannot use the ${d.what} "${d.id}": ${d.detail}`,
    fix: () => "take another id, or give the content that was given before",
  }),
  Input: reason<{ readonly what: string; readonly detail: string; readonly fix?: string }>({
    code: "STELE-BIL-0016",
    status: 400,
    exit: 2,
    isRetryable: false,
    message: (d) => `Cannot use the ${d.what}: ${d.detail}`,
    fix: (d) => d.fix ?? "correct what the message names; schemas/billing has the shapes",
  }),
  Catalogue: reason<{ readonly problems: ReadonlyArray<{ readonly kind: string; readonly path: string; readonly message: string }> }>({
    code: "STELE-BIL-0017",
    status: 422,
    exit: 3,
    isRetryable: false,
    message: (d) =>
      `Cannot use the price list: ${count(d.problems.length, "problem")}, the first of kind ${d.problems[0]?.kind ?? "unknown"} at "${d.problems[0]?.path ?? ""}"`,
    fix: () => "correct the places that the problems name, by JSON pointer",
  }),
  EventConflict: reason<{ readonly account: string; readonly event: string }>({
    code: "STELE-BIL-0018",
    status: 409,
    exit: 6,
    isRetryable: false,
    message: (d) => `Cannot record the event "${d.event}" of "${d.account}": there is one of this id with another content`,
    fix: () => "give another event another id; the first one stays as it is",
  }),
  EventMetric: reason<{ readonly account: string; readonly event: string; readonly name: string; readonly known: ReadonlyArray<string> }>({
    code: "STELE-BIL-0019",
    status: 422,
    exit: 1,
    isRetryable: false,
    message: (d) => `Cannot record the event "${d.event}" of "${d.account}": no meter of its price lists counts "${d.name}"`,
    fix: (d) => `name a metric that is counted: ${d.known.join(", ")}`,
  }),
  EventTime: reason<{ readonly account: string; readonly event: string; readonly at: string; readonly detail: string }>({
    code: "STELE-BIL-0020",
    status: 422,
    exit: 1,
    isRetryable: false,
    message: (d) => `Cannot record the event "${d.event}" of "${d.account}" at ${d.at}: ${d.detail}`,
    fix: () => "correct its time; what comes after its period can be billed no more is credited or billed by hand",
  }),
  EventQuantity: reason<{ readonly account: string; readonly event: string; readonly detail: string }>({
    code: "STELE-BIL-0021",
    status: 422,
    exit: 1,
    isRetryable: false,
    message: (d) => `Cannot record the event "${d.event}" of "${d.account}": ${d.detail}`,
    fix: () => "send a decimal with no more digits than the meter's unit has, or let the price list round: input.excess",
  }),
  RulesUnknown: reason<{ readonly account: string; readonly digest: string; readonly detail: string }>({
    code: "STELE-BIL-0022",
    status: 422,
    exit: 4,
    isRetryable: false,
    message: (d) => `Cannot use the rules ${d.digest} of "${d.account}": ${d.detail}`,
    fix: () => "put the component into the host's content store, host.store(bytes); it must implement stele:billing/rules",
  }),
  RulesStopped: reason<{ readonly digest: string; readonly attempts: number; readonly detail: string }>({
    code: "STELE-BIL-0023",
    status: 503,
    exit: 69,
    isRetryable: true,
    message: (d) => `Cannot rate: the rules ${d.digest} were stopped ${d.attempts} times at the same place: ${d.detail}`,
    fix: () => "raise the limit that stopped them, or correct the rules; nothing was billed",
  }),
  Issued: reason<{ readonly invoice: string; readonly number: string }>({
    code: "STELE-BIL-0024",
    status: 409,
    exit: 6,
    isRetryable: false,
    message: (d) => `Cannot issue the invoice "${d.invoice}": it was issued as ${d.number}`,
    fix: () => "correct it by a credit note; what is issued is never changed",
  }),
  State: reason<{ readonly invoice: string; readonly status: string; readonly wanted: string }>({
    code: "STELE-BIL-0025",
    status: 409,
    exit: 6,
    isRetryable: false,
    message: (d) => `Cannot make the invoice "${d.invoice}" ${d.wanted}: it is ${d.status}`,
    fix: () => "an issued or overdue invoice becomes paid or cancelled, and stays so",
  }),
  NotDue: reason<{ readonly subscription: string; readonly detail: string }>({
    code: "STELE-BIL-0026",
    status: 409,
    exit: 6,
    isRetryable: true,
    message: (d) => `Cannot draw up an invoice of the subscription "${d.subscription}": ${d.detail}`,
    fix: () => "wait for the end of the period, and for the usage that is under way",
  }),
  Rate: reason<{ readonly source: string; readonly currency: string; readonly account: string }>({
    code: "STELE-BIL-0027",
    status: 422,
    exit: 1,
    isRetryable: false,
    message: (d) => `Cannot bill "${d.account}" in ${d.currency}: the price list is in ${d.source}, and there is no rate between them`,
    fix: (d) =>
      `take a price list in ${d.currency}, or bill in ${d.source}: stele account add ${d.account} --currency ${d.source}; a program gives rates to openBilling`,
  }),
  Contended: reason<{ readonly what: string; readonly attempts: number }>({
    code: "STELE-BIL-0028",
    status: 503,
    exit: 69,
    isRetryable: true,
    message: (d) => `Cannot write ${d.what}: what it rests on was changed by others in each of ${d.attempts} attempts`,
    fix: () => "try again; nothing was written",
  }),
  Bundle: reason<{ readonly file: string; readonly part: string; readonly detail: string }>({
    code: "STELE-BIL-0029",
    status: 422,
    exit: 3,
    isRetryable: false,
    message: (d) => `Cannot use the bundle "${d.file}": ${d.part === "" ? "" : `"${d.part}": `}${d.detail}`,
    fix: () => "get the bundle again from whoever made it: it is not as it was written",
  }),
  BundleLimit: reason<{ readonly file: string; readonly what: string; readonly limit: number; readonly actual: number }>({
    code: "STELE-BIL-0030",
    status: 413,
    exit: 7,
    isRetryable: false,
    message: (d) => `Cannot use the bundle "${d.file}": its ${d.what} is ${d.actual}, and the limit is ${d.limit}`,
    fix: (d) => `raise the limit of the ${d.what} for a bundle that is trusted`,
  }),
  Differs: reason<{ readonly invoice: string; readonly what: string; readonly stated: string; readonly computed: string }>({
    code: "STELE-BIL-0031",
    status: 422,
    exit: 3,
    isRetryable: false,
    message: (d) => `The invoice "${d.invoice}" is not what its rules make of its usage: ${d.what} is ${d.computed}, and it says ${d.stated}`,
    fix: () => "do not pay it as it is: ask whoever issued it for the bundle of their books",
  }),
  BundleSource: reason<{ readonly invoice: string; readonly detail: string }>({
    code: "STELE-BIL-0032",
    status: 409,
    exit: 6,
    isRetryable: false,
    message: (d) => `Cannot make a bundle of the invoice "${d.invoice}": ${d.detail}`,
    fix: () => "make bundles when invoices are issued, and keep them",
  }),
  CapReached: reason<{
    readonly account: string
    readonly charge: string
    readonly unit: string
    readonly upTo: string
    readonly used: string
    /** Promised to calls that run, or kept ready by some node. */
    readonly held: string
    readonly until: string
  }>({
    code: "STELE-BIL-0033",
    status: 429,
    exit: 7,
    isRetryable: false,
    message: (d) =>
      `Cannot run this for the account "${d.account}": "${d.charge}" is capped at ${d.upTo} ${d.unit} until ${d.until}, of which ${d.used} are used and ${d.held} promised to calls that run`,
    fix: () => "wait for those calls or for the next period, or change the plan",
  }),
  Declined: reason<{ readonly what: string; readonly id: string; readonly detail: string }>({
    code: "STELE-BIL-0034",
    status: 402,
    exit: 1,
    isRetryable: false,
    message: (d) => `Cannot pay the ${d.what} "${d.id}": the provider declines: ${d.detail}`,
    fix: () => "use another means of payment; it is tried anew under a new attempt",
  }),
  Unconfirmed: reason<{ readonly what: string; readonly id: string; readonly detail: string }>({
    code: "STELE-BIL-0035",
    status: 503,
    exit: 69,
    isRetryable: true,
    message: (d) => `Cannot tell whether the ${d.what} "${d.id}" was paid: ${d.detail}`,
    fix: () => "try again: the same idempotency key is sent, so nothing is paid twice",
  }),
  Exceeds: reason<{ readonly what: string; readonly id: string; readonly asked: string; readonly left: string; readonly currency: string }>({
    code: "STELE-BIL-0036",
    status: 422,
    exit: 1,
    isRetryable: false,
    message: (d) => `Cannot give back ${d.asked} ${d.currency} of the ${d.what} "${d.id}": ${d.left} ${d.currency} are left of it`,
    fix: () => "give back what is left, or less",
  }),
  DraftDiffers: reason<{ readonly invoice: string; readonly shown: string; readonly digest: string; readonly payable: string; readonly currency: string }>({
    code: "STELE-BIL-0037",
    status: 409,
    exit: 6,
    isRetryable: false,
    message: (d) =>
      `Cannot issue the invoice "${d.invoice}" as it was shown: that was ${d.shown.slice(0, 19)}…, and by now it is ${d.digest.slice(0, 19)}… with ${d.payable} ${d.currency} payable`,
    fix: () => "look at it again: usage, terms or a balance have changed since; then issue what is shown then",
  }),
  Removed: reason<{ readonly subscription: string; readonly tenant: string; readonly start: string; readonly end: string }>({
    code: "STELE-BIL-0038",
    status: 409,
    exit: 6,
    isRetryable: false,
    message: (d) =>
      `Cannot bill the subscription "${d.subscription}" from ${d.start} to ${d.end}: retention has removed usage records of the tenant "${d.tenant}" of that time`,
    fix: () =>
      "bill that tenant's calls by hand: take it from the account, issue, and give it back. Keep records (ageMsMax, bytesMax of a store's usage) until their period is billed and 35 days more",
  }),
  OtherProvider: reason<{ readonly what: string; readonly id: string; readonly asked: string; readonly given: string }>({
    code: "STELE-BIL-0039",
    status: 409,
    exit: 6,
    isRetryable: false,
    message: (d) => `Cannot go on with the ${d.what} "${d.id}" by the provider "${d.given}": it was asked of "${d.asked}", which may have moved the money`,
    fix: (d) => `go on with it by "${d.asked}" until that answers`,
  }),
}) {}
