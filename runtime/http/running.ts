/**
 * Which service serves a store on this machine: said in a file of its user, so that commands ask the service instead of changing
 * the store behind its back. What the file says is believed only of a service that shows that it has the token.
 */
import { dataFolder, makeDataFolder } from "../storage/default.ts"
import { proofOf, readToken } from "./token.ts"

const { hash, randomBytes } = process.getBuiltinModule("node:crypto")
const { readFileSync, renameSync, rmSync, writeFileSync } = process.getBuiltinModule("node:fs")
const { join, resolve } = process.getBuiltinModule("node:path")

interface Said {
  readonly url: string
  readonly pid: number
  readonly tokenFile: string
}

export interface Running {
  readonly url: string
  readonly token: string
}

/** How long a service has to answer, in ms. */
const answerMs = 2_000

/** A path means the same from another folder. */
const whole = (storage: string): string =>
  storage.replace(/^(sqlite|sqlite-tenants|pglite):(.+)$/s, (_, kind: string, path: string) => `${kind}:${resolve(path)}`)
const fileIn = (folder: string, storage: string): string => join(folder, `service-${hash("sha256", whole(storage), "hex").slice(0, 16)}.json`)

/** Says that a service serves `storage`, until it is told to stop saying so. A user without a data folder is told nothing. */
export function announce(storage: string, said: Omit<Said, "pid">): () => void {
  const folder = makeDataFolder(process.env)
  if (folder === undefined) return () => {}
  const file = fileIn(folder, storage)
  const text = JSON.stringify({ ...said, pid: process.pid })
  const draft = `${file}.${process.pid}`
  try {
    writeFileSync(draft, text, { mode: 0o600 })
    renameSync(draft, file)
  } catch {
    // Commands will change the store itself, which the service notices a little later.
    return () => {}
  }
  return () => {
    try {
      if (readFileSync(file, "utf8") === text) rmSync(file)
    } catch {
      // Another service's by now.
    }
  }
}

function said(storage: string): Said | undefined {
  const folder = dataFolder(process.env)
  if (folder === undefined) return undefined
  try {
    const found = JSON.parse(readFileSync(fileIn(folder, storage), "utf8")) as Partial<Said> | null
    return typeof found?.url === "string" && typeof found.tokenFile === "string" && typeof found.pid === "number" ? (found as Said) : undefined
  } catch {
    return undefined
  }
}

/** The service that serves `storage` now; undefined where none does, or what answers cannot show that it is that service. */
export async function running(storage: string): Promise<Running | undefined> {
  const found = said(storage)
  if (found === undefined) return undefined
  try {
    const token = readToken(found.tokenFile)
    const nonce = randomBytes(16).toString("hex")
    const response = await fetch(`${found.url}/healthz`, { headers: { "stele-nonce": nonce }, redirect: "error", signal: AbortSignal.timeout(answerMs) })
    await response.body?.cancel()
    return response.headers.get("stele-proof") === proofOf(token, nonce) ? { url: found.url, token } : undefined
  } catch {
    return undefined
  }
}
