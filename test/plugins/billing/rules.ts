/** The billing rules as tests call them: one plugin, numbers as texts, what is refused as a value. */
import { Host, type Plugin } from "../../../host/mod.ts"
import { type CoreOptions, firstParty } from "../../../runtime/plugins/first-party.ts"
import type { Catalogue, Decimal, Exports, Fraction, Problem, Subscription, Zone } from "../../../schemas/wit/stele/billing.gen.ts"

export const at = "stele:billing/charging"

export function decimal(text: string): Decimal {
  const [whole = "0", part = ""] = text.split(".")
  return coefficient(BigInt(whole + part), part.length)
}
export const coefficient = (value: bigint, scale: number): Decimal => ({ high: value >> 64n, low: BigInt.asUintN(64, value), scale })

const unscaled = ({ high, low }: Decimal): bigint => (high << 64n) | low

/** Without needless zeros. */
export function text(value: Decimal): string {
  const digits = unscaled(value)
  if (value.scale === 0) return String(digits)
  const shown = String(digits < 0n ? -digits : digits).padStart(value.scale + 1, "0")
  const part = shown.slice(-value.scale).replace(/0+$/, "")
  return `${digits < 0n ? "-" : ""}${shown.slice(0, -value.scale)}${part === "" ? "" : `.${part}`}`
}
/** `7/3`, or a whole number. */
export const ratio = ({ numerator, denominator }: Fraction): string =>
  unscaled(denominator) === 1n ? String(unscaled(numerator)) : `${unscaled(numerator)}/${unscaled(denominator)}`

export const instant = (iso: string): bigint => BigInt(Date.parse(iso)) * 1000n

export const utc: Zone = { name: "UTC", release: "fixed", first: 0, changes: new BigInt64Array(0), offsets: new Int32Array(0) }

export const none = { quantities: [], billed: [] }

export const subscriptionOf = (plan: string, start: string, more: Partial<Subscription> = {}): Subscription => ({
  id: "s",
  plan,
  start: instant(start),
  zone: "UTC",
  quantities: [],
  changes: [],
  ...more,
})

export class Rules {
  readonly #host: Host
  readonly plugin: Plugin<Exports>
  readonly #made: Array<Disposable> = []
  private constructor(host: Host, plugin: Plugin<Exports>) {
    this.#host = host
    this.plugin = plugin
  }

  static async open(options: CoreOptions = {}): Promise<Rules> {
    const host = await Host.open()
    return new Rules(host, await firstParty<Exports>(host, "billing", options))
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#host[Symbol.asyncDispose]()
  }

  readonly call = ((...asked: Parameters<Plugin<Exports>["callSync"]>): unknown => {
    const answer: unknown = this.plugin.callSync(...asked)
    if (typeof answer === "object" && answer !== null && Symbol.dispose in answer) this.#made.push(answer as Disposable)
    return answer
  }) as Plugin<Exports>["callSync"]

  /** Lets go of every price list and rater there is: an instance lives as long as anything of it is held, and none is collected before the program has turned to others. */
  letGo(): void {
    for (const one of this.#made.splice(0)) one[Symbol.dispose]()
  }
  compile(catalogue: object | string): Catalogue {
    return this.call(`${at}#[static]catalogue.compile`, [typeof catalogue === "string" ? catalogue : JSON.stringify(catalogue)])
  }
  problems(catalogue: object | string): ReadonlyArray<string> {
    const found = refusal(() => this.compile(catalogue)) as ReadonlyArray<Problem> | undefined
    return (found ?? []).map(({ kind, path }) => `${kind} ${path}`)
  }
}

/** What a call was refused with; undefined where it was not. */
export function refusal(run: () => unknown): unknown {
  try {
    run()
    return undefined
  } catch (error) {
    const { reason } = error as { readonly reason?: { readonly _tag: string; readonly payload?: unknown } }
    if (reason?._tag !== "Guest") throw error
    return reason.payload
  }
}
export const kindOf = (run: () => unknown): string => {
  const found = refusal(run) as Problem | undefined
  return found === undefined ? "accepted" : `${found.kind} ${found.path}`
}
