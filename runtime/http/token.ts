/** The service's token: made once, kept in a file of its user alone, compared without telling how much of it fits. */
import { ConfigError } from "../../schemas/error/config.ts"
import { HttpError } from "../../schemas/error/http.ts"
import { makeDataFolder } from "../storage/default.ts"

const { createHmac, randomBytes, timingSafeEqual } = process.getBuiltinModule("node:crypto")
const { chmodSync, existsSync, linkSync, readFileSync, rmSync, statSync, writeFileSync } = process.getBuiltinModule("node:fs")
const { join } = process.getBuiltinModule("node:path")

/** A prefix that scanners for leaked secrets can know, and 32 random bytes. */
const form = /^stele_[A-Za-z0-9_-]{43}$/

export const makeToken = (): string => `stele_${randomBytes(32).toString("base64url")}`

/** `STELE_TOKEN_FILE`, else a file in the user's data folder; undefined for a user without a home. */
export function tokenFile(environment: Readonly<Record<string, string | undefined>>): string | undefined {
  const chosen = environment["STELE_TOKEN_FILE"]
  if (chosen !== undefined && chosen !== "") return chosen
  const folder = makeDataFolder(environment)
  return folder === undefined ? undefined : join(folder, "token")
}

const refused = (file: string, cause: unknown): HttpError =>
  cause instanceof HttpError ? cause : new HttpError("Token", { file, detail: (cause as NodeJS.ErrnoException).code ?? String(cause) }, { cause })

/** @throws HttpError `Token` for a file that is not there, not a token, or not its user's alone */
export function readToken(file: string): string {
  try {
    // Windows has no such modes.
    if (process.platform !== "win32" && (statSync(file).mode & 0o077) !== 0) throw new HttpError("Token", { file, detail: "others can read or write it" })
    const token = readFileSync(file, "utf8").trim()
    if (form.test(token)) return token
  } catch (error) {
    throw refused(file, error)
  }
  throw new HttpError("Token", { file, detail: "it holds something else than a token" })
}

/** The token of a file, which is made when it is not there. Two processes that make it at once agree on one. */
export function keepToken(file: string): { readonly token: string; readonly isNew: boolean } {
  if (existsSync(file)) return { token: readToken(file), isNew: false }
  const draft = `${file}.${process.pid}.${randomBytes(4).toString("hex")}`
  try {
    const token = makeToken()
    writeFileSync(draft, `${token}\n`, { mode: 0o600, flag: "wx" })
    // The mode above is cut by the user's mask, and never widened by it.
    chmodSync(draft, 0o600)
    linkSync(draft, file)
    return { token, isNew: true }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return { token: readToken(file), isNew: false }
    throw refused(file, error)
  } finally {
    rmSync(draft, { force: true })
  }
}

/** @throws ConfigError for tokens of which one is none, or that are none at all */
export function checkTokens(option: string, tokens: ReadonlyArray<string>): void {
  if (!Array.isArray(tokens) || tokens.length === 0 || tokens.some((token) => typeof token !== "string" || !/^[\x21-\x7e]{16,512}$/.test(token)))
    throw new ConfigError("Option", { option, expected: "16 to 512 printable characters without blanks, or a list of such", actual: "something else" })
}

/** Finds which of these tokens an `Authorization` header carries: its place, or -1. */
export function tokenFinder(tokens: ReadonlyArray<string>): (header: string | null) => number {
  const known = tokens.map((token) => Buffer.from(token))
  return (header) => {
    if (header === null || !/^bearer /i.test(header)) return -1
    const given = Buffer.from(header.slice(7).trim())
    let found = -1
    // All of them, whichever fits. The length of a token is no secret.
    for (const [place, token] of known.entries()) if (token.length === given.length && timingSafeEqual(token, given)) found = place
    return found
  }
}

/** Tells whether an `Authorization` header carries one of these tokens. */
export function tokenCheck(tokens: ReadonlyArray<string>): (header: string | null) => boolean {
  const find = tokenFinder(tokens)
  return (header) => find(header) >= 0
}

/** What a service that has the token answers to a nonce: who asks before it sends the token does not hand it to whatever has the port now. */
export const proofOf = (token: string, nonce: string): string => createHmac("sha256", token).update(`stele service ${nonce}`).digest("base64url")
