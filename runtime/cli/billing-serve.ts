/** `stele invoice serve`: the pages of a seller's books, for this machine: usage, projected cost and invoices of its accounts. */
import { ConfigError } from "../../schemas/error/config.ts"
import { quote } from "../../schemas/value/form.ts"
import { billingService } from "../http/billing.ts"
import { serve } from "../http/serve.ts"
import { keepToken, tokenFile } from "../http/token.ts"
import { type BooksFlags, openBooks } from "./books.ts"
import { parsePort, untilTold } from "./serve.ts"
import { withPassword } from "./password.ts"
import { noteLine, printLine } from "./terminal.ts"

const { statSync } = process.getBuiltinModule("node:fs")
const { dirname } = process.getBuiltinModule("node:path")

export interface PagesFlags extends BooksFlags {
  readonly port: string | undefined
  readonly host: string | undefined
  readonly account: ReadonlyArray<string>
}

/** Tokens of accounts, each in a file of its own, which is made where it is not there: a flag would be seen by everybody on the machine. */
function tokensOf(flags: PagesFlags): { readonly tokens: Readonly<Record<string, string>>; readonly file: string | undefined } {
  const own = flags.account.map((text): readonly [token: string, account: string] => {
    const [, account, file] = /^([^=]+)=(.+)$/.exec(text) ?? []
    if (account === undefined || file === undefined)
      throw new ConfigError("Option", { option: "--account", expected: "ID=FILE, the file of a token for that account", actual: quote(text, 100) })
    const [there, folder] = [file, dirname(file)].map((path) => statSync(path, { throwIfNoEntry: false })?.isDirectory())
    if (there === true || folder !== true)
      throw new ConfigError("Option", {
        option: "--account",
        expected: "ID=FILE, a file in a folder that is there",
        actual: `${quote(text, 100)} (${there === true ? "it is a folder" : "its folder is not there"})`,
      })
    return [keepToken(file).token, account]
  })
  const file = tokenFile(process.env)
  if (file === undefined && own.length === 0)
    throw new ConfigError("Usage", { detail: "This user has no data folder for a token", advice: "name a file for it: STELE_TOKEN_FILE=PATH" })
  return { tokens: Object.fromEntries([...(file === undefined ? [] : [[keepToken(file).token, "*"] as const]), ...own]), file }
}

export async function serveBooks(flags: PagesFlags): Promise<void> {
  const port = parsePort(flags.port)
  const { file, tokens } = tokensOf(flags)
  const told = untilTold()
  await using books = await openBooks(flags)
  const pages = await billingService({ billing: books.billing, tokens, log: noteLine })
  const server = await serve(withPassword(pages), { port, ...(flags.host === undefined ? {} : { hostname: flags.host }) })
  if (flags.json) printLine(JSON.stringify({ url: server.url, entity: flags.entity, tokenFile: file ?? null }))
  else
    noteLine(
      `Serving the books of ${flags.entity} on ${server.url}; a browser asks for a password: ${file === undefined ? "a token that --account names" : `the token in ${file}`}`,
    )
  await told
  await server.close()
}
