/** A price list as a rim uses it: compiled by the rules in force, compiled again when they were stopped, and what it says of its meters. */
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { Catalogue as Shape } from "../../schemas/billing/catalogue.ts"
import { BillingError } from "../../schemas/error/billing.ts"
import type { SteleError } from "../../schemas/error/family.ts"
import { LimitError } from "../../schemas/error/limit.ts"
import { PluginError } from "../../schemas/error/plugin.ts"
import type { Catalogue, Description } from "../../schemas/wit/stele/billing.gen.ts"
import { Mistakes, type Rules } from "./rules.ts"

/** Times that rules may be stopped at the same place before what they were doing is given up. */
export const stopsMax = 2

/** Whether a call ended because the rules were stopped, by a limit or by their own fault: their instance is gone, and all that it held. */
export const isStop = (error: unknown): error is SteleError =>
  error instanceof LimitError || (error instanceof PluginError && (error.reason._tag === "Trap" || error.reason._tag === "AbiViolation"))

/** Whether what is held of the rules is usable: another call may have been stopped in the same instance. */
export const isHeld = (resource: object): boolean => (resource as { readonly isLive?: boolean }).isLive !== false

export class PriceTable {
  readonly digest: string
  readonly text: string
  readonly rules: Rules
  readonly description: Description
  /** The list itself, where it is of our format: rules of others read others. */
  readonly shape: Shape | undefined
  #handle: Catalogue | undefined
  #matches = new Map<string, ReadonlyArray<number>>()

  private constructor(rules: Rules, digest: string, text: string, handle: Catalogue, description: Description) {
    this.rules = rules
    this.digest = digest
    this.text = text
    this.description = description
    this.#handle = handle
    this.shape = shapeOf(text)
  }

  /** @throws BillingError `Catalogue`, `RulesStopped` */
  static async open(rules: Rules, digest: string, text: string): Promise<PriceTable> {
    return patiently(rules, async () => {
      const handle = await compiled(rules, text)
      return new PriceTable(rules, digest, text, handle, await rules.describe(handle))
    })
  }

  /** The compiled list. */
  async handle(): Promise<Catalogue> {
    if (this.#handle === undefined || !isHeld(this.#handle)) this.#handle = await compiled(this.rules, this.text)
    return this.#handle
  }

  /** Asks something of the compiled list; once more where the rules were stopped. @throws BillingError `Rules`, `RulesStopped` */
  ask<A>(run: (catalogue: Catalogue) => Promise<A>): Promise<A> {
    return patiently(this.rules, async () => run(await this.handle()))
  }

  /** Numbers of the meters that count an event. Remembered for some thousand kinds of events. */
  async match(name: string, properties: ReadonlyArray<readonly [string, string]>): Promise<ReadonlyArray<number>> {
    const key = JSON.stringify([name, properties])
    const known = this.#matches.get(key)
    if (known !== undefined) return known
    const found = [...(await this.ask((catalogue) => this.rules.ask("[method]catalogue.match", [catalogue, name, properties])))]
    if (this.#matches.size >= matchesMax) this.#matches = new Map()
    this.#matches.set(key, found)
    return found
  }
}

const matchesMax = 4_096

const shapeIn = Schema.decodeUnknownOption(Schema.fromJsonString(Shape))
export function shapeOf(text: string): Shape | undefined {
  return Option.getOrUndefined(shapeIn(text))
}

async function compiled(rules: Rules, text: string): Promise<Catalogue> {
  try {
    return await rules.compile(text)
  } catch (error) {
    if (!(error instanceof Mistakes)) throw error
    throw new BillingError("Catalogue", { problems: error.problems.map(({ kind, path, message }) => ({ kind, path, message })) }, { cause: error })
  }
}

/** Runs something, and again where the rules were stopped in it. @throws BillingError `RulesStopped` */
export async function patiently<A>(rules: Rules, run: () => Promise<A>): Promise<A> {
  for (let attempts = 1; ; attempts++) {
    try {
      return await run()
    } catch (error) {
      if (!isStop(error)) throw error
      if (attempts >= stopsMax)
        throw new BillingError("RulesStopped", { digest: rules.plugin.digest, attempts, detail: `${error.code}: ${error.message}` }, { cause: error })
    }
  }
}
