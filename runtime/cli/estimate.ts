/** `stele estimate`: what usage would cost in one whole period of a plan, by the rules in force. */
import { ConfigError } from "../../schemas/error/config.ts"
import { closest } from "../../schemas/value/closest.ts"
import { quote } from "../../schemas/value/form.ts"
import { escapeText } from "../../host/port/log.ts"
import { decimalText, groupedText, plainText, readDecimal } from "../billing/decimal.ts"
import { shapeOf } from "../billing/price-table.ts"
import { parseNumber } from "./books.ts"
import { checkCharges, checkPlan, compileList, openRules, readList, withListPlaces } from "./price-list.ts"
import { out, printLine, table } from "./terminal.ts"

export interface EstimateFlags {
  readonly prices: string
  readonly plan: string
  readonly meter: ReadonlyArray<string>
  readonly quantity: ReadonlyArray<string>
  readonly plugin: ReadonlyArray<string>
  readonly json: boolean
}

export const estimate = ({ plan, plugin, prices, quantity, meter: amounts, json }: EstimateFlags): Promise<void> =>
  withListPlaces(json, async () => {
    await using opened = await openRules(plugin)
    const { catalogue, description, text: list } = await compileList(opened.rules, await readList(prices))
    checkPlan(plan, description.plans)
    const meters = description.meters.map(({ id }) => id)
    const used = amounts.map((text) => {
      const [name, amount] = parseNumber("--meter", text, "executions=120000")
      const meter = meters.indexOf(name)
      if (meter >= 0) return { meter, quantity: readDecimal(amount) as NonNullable<ReturnType<typeof readDecimal>>, events: 1n }
      const [near] = closest(name, meters)
      throw new ConfigError("Usage", {
        detail: `The price list has no meter ${quote(name, 64)}`,
        advice: near === undefined ? `its meters are ${meters.join(", ")}` : `did you mean "${near}"`,
      })
    })
    const counts = quantity.map((text) => {
      const [name, amount] = parseNumber("--quantity", text, "seats=5")
      return [name, readDecimal(amount) as NonNullable<ReturnType<typeof readDecimal>>] as const
    })
    checkCharges(
      counts.map(([name]) => name),
      shapeOf(list),
      plan,
    )
    const { lines, overages, total } = await opened.rules.ask("[method]catalogue.estimate", [
      catalogue,
      plan,
      used,
      counts,
      { quantities: [], billed: [] },
      false,
    ])
    if (json) {
      return printLine(
        JSON.stringify({
          plan,
          currency: description.currency,
          total: decimalText(total),
          lines: lines.map(({ amount, attribute, charge, quantity: of, title }) => ({
            charge,
            ...(attribute === undefined ? {} : { attribute }),
            title,
            quantity: plainText(of),
            amount: decimalText(amount),
          })),
          overages: overages.map(({ charge, over, policy, upto }) => ({ charge, policy, upTo: plainText(upto), over: plainText(over) })),
        }),
      )
    }
    const rows = lines.map(({ amount, quantity: of, title }) => [escapeText(title), groupedText(plainText(of)), groupedText(decimalText(amount))])
    for (const line of table([["line", "quantity", "amount"], ...rows], Number.MAX_SAFE_INTEGER, 0)) printLine(line)
    printLine(out.bold(`total ${groupedText(decimalText(total))} ${description.currency}`))
    for (const { charge, over, policy, upto } of overages)
      printLine(
        out.yellow(
          `${escapeText(charge)}: ${groupedText(plainText(over))} beyond ${groupedText(plainText(upto))}${policy === "block" ? ", which would be refused" : ""}`,
        ),
      )
  })
