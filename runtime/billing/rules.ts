/**
 * The billing rules in force, as a rim asks them: what they refuse is a `BillingError`, what they made is let go of by closing the host.
 *
 * ```ts
 * const rules = await Rules.open(host)
 * const catalogue = await rules.compile(text)
 * const { currency, meters } = await rules.describe(catalogue)
 * ```
 */
import { BillingError } from "../../schemas/error/billing.ts"
import { PluginError } from "../../schemas/error/plugin.ts"
import type { AnswerOf, Arguments, ExportName } from "../../schemas/wit/exports.ts"
import type { Catalogue, Description, Exports, Problem } from "../../schemas/wit/stele/billing.gen.ts"
import type { Host } from "../../host/host.ts"
import type { Plugin } from "../../host/plugin.ts"
import { type CoreOptions, firstParty } from "../plugins/first-party.ts"

const charging = "stele:billing/charging"

/** A price list that does not hold, with all that is wrong with it. */
export class Mistakes extends Error {
  readonly problems: ReadonlyArray<Problem>
  constructor(problems: ReadonlyArray<Problem>) {
    super(problems.map(({ path, message }) => `${path}: ${message}`).join("\n"))
    this.problems = problems
  }
}

type Method = ExportName<Exports> extends infer Name ? (Name extends `stele:billing/charging#${infer Short}` ? Short : never) : never

export class Rules {
  readonly plugin: Plugin<Exports>
  constructor(plugin: Plugin<Exports>) {
    this.plugin = plugin
  }

  /** What is in force for a host. Resources live in an instance, so there is one that stays. */
  static async open(host: Host, options: CoreOptions = {}): Promise<Rules> {
    return new Rules(await firstParty<Exports>(host, "billing", options))
  }

  /**
   * Any function of the rules, by its name in the interface: `[method]rater.finish`.
   * @throws BillingError `Rules` for a problem that they answer
   */
  async ask<M extends Method>(method: M, args: Arguments<Exports, `${typeof charging}#${M}`>): Promise<AnswerOf<Exports, `${typeof charging}#${M}`>> {
    try {
      return await this.plugin.call(`${charging}#${method}`, args)
    } catch (error) {
      const problem = payloadOf(error) as Problem | undefined
      if (problem === undefined || Array.isArray(problem)) throw error
      throw new BillingError("Rules", { kind: problem.kind, path: problem.path, detail: problem.message }, { cause: error })
    }
  }

  /** @throws Mistakes */
  async compile(text: string): Promise<Catalogue> {
    try {
      return await this.ask("[static]catalogue.compile", [text])
    } catch (error) {
      const problems = payloadOf(error)
      throw Array.isArray(problems) ? new Mistakes(problems as ReadonlyArray<Problem>) : error
    }
  }

  describe(catalogue: Catalogue): Promise<Description> {
    return this.ask("[method]catalogue.describe", [catalogue])
  }
}

const payloadOf = (error: unknown): unknown => (error instanceof PluginError && error.reason._tag === "Guest" ? error.reason.payload : undefined)
