/** `stele prices convert`: prices of another system as a price list, or, without a file, what systems do and what says so here. */
import { ConfigError } from "../../schemas/error/config.ts"
import { closest } from "../../schemas/value/closest.ts"
import { quote } from "../../schemas/value/form.ts"
import { conventions } from "../billing/conventions.ts"
import { convert, type Format, formats } from "../billing/convert/mod.ts"
import { compileList, openRules, readList, withListPlaces } from "./price-list.ts"
import { columns, out, printLine, wrap } from "./terminal.ts"

export interface ConvertFlags {
  readonly file: string | undefined
  readonly from: string | undefined
  readonly leaveOut: ReadonlyArray<string>
  readonly plugin: ReadonlyArray<string>
  readonly json: boolean
}

function formatOf(from: string): Format {
  const found = formats.find((format) => format === from)
  if (found !== undefined) return found
  const [near] = closest(from, formats)
  throw new ConfigError("Usage", {
    detail: `Cannot convert from ${quote(from)}`,
    advice: near === undefined ? `--from is one of ${formats.join(", ")}; stele prices convert says what to set by hand for others` : `did you mean "${near}"`,
  })
}

export const convertPrices = ({ file, from, leaveOut, plugin, json }: ConvertFlags): Promise<void> =>
  withListPlaces(json, async () => {
    if (file === undefined) {
      if (from !== undefined) throw new ConfigError("Usage", { detail: "Missing argument FILE", advice: `stele prices convert FILE --from ${from}` })
      if (json) return printLine(JSON.stringify({ conventions: conventions.map((one) => ({ ...one, here: one.here ?? null })) }))
      for (const system of new Set(conventions.map((one) => one.system))) {
        printLine(out.bold(system))
        for (const { convention, here } of conventions.filter((one) => one.system === system)) {
          const lines = wrap(convention, columns(process.stdout) - 2)
          for (const line of lines) printLine(`  ${line}`)
          printLine(`    → ${here === undefined ? out.dim("not offered") : out.cyan(here)}`)
        }
      }
      return
    }
    if (from === undefined)
      throw new ConfigError("Usage", { detail: "Missing flag --from", advice: `stele prices convert ${file} --from ${formats.join("|")}` })
    const format = formatOf(from)
    await using opened = await openRules(plugin)
    const { file: name, text } = await readList(file)
    const list = await convert(opened.rules, format, text, name, leaveOut)
    const made = `${JSON.stringify(list, undefined, 2)}\n`
    // What was made of it holds, or nothing is printed.
    await compileList(opened.rules, { file: `${name}, converted`, text: made })
    printLine(json ? JSON.stringify({ priceList: list }) : made.trimEnd())
  })
