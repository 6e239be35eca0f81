/** A seller's books as commands open them: the store, the rules in force, and instants, days and decimals as people write them. */
import { ConfigError } from "../../schemas/error/config.ts"
import { readInstant } from "../../schemas/billing/instant.ts"
import { quote } from "../../schemas/value/form.ts"
import type { Host } from "../../host/host.ts"
import { type Billing, openBilling } from "../billing/mod.ts"
import { configuredPlugins } from "../plugins/configuration.ts"
import { Host as Hosts } from "../mod.ts"
import { type StoreLimitOptions, storeLimits } from "../port/limits.ts"
import { defaultStorage } from "../storage/default.ts"
import { openStorage } from "../storage/storage.ts"
import { refuseMissing } from "./storage.ts"

export interface BooksFlags {
  readonly storage: string | undefined
  readonly objects: string | undefined
  readonly storageKey: string | undefined
  /** Limits of the store: `keyValue.tenantKeysMax=1000000`. */
  readonly storeLimit?: ReadonlyArray<string>
  readonly entity: string
  readonly plugin: ReadonlyArray<string>
  readonly json: boolean
}

/** `PORT.NAME=NUMBER`, each over the default. */
function limitsOf(given: ReadonlyArray<string>): StoreLimitOptions {
  const found: Record<string, Record<string, number>> = {}
  for (const text of given) {
    const [, port = "", name = "", number = ""] = /^(\w+)\.(\w+)=(\d{1,15})$/.exec(text) ?? []
    if (!Object.hasOwn(storeLimits, port))
      throw new ConfigError("Option", {
        option: "--store-limit",
        expected: "PORT.NAME=NUMBER such as keyValue.tenantKeysMax=1000000",
        actual: quote(text, 100),
      })
    found[port] = { ...found[port], [name]: Number(number) }
  }
  return found
}

/**
 * Opens the books; rules and store are let go of with them.
 * @param isThere whoever looks at books makes none: their store must be there
 */
export async function openBooks(
  { entity, objects, plugin, storage, storageKey, storeLimit = [] }: BooksFlags,
  isThere?: "there",
): Promise<{ readonly billing: Billing } & AsyncDisposable> {
  const address = storage ?? defaultStorage(process.env)
  if (address === undefined || address === "memory")
    throw new ConfigError("Usage", { detail: "Cannot tell where the books are kept", advice: "name a store: --storage sqlite:PATH" })
  if (isThere !== undefined) refuseMissing(address)
  const kept = await openStorage(address, { objects, storageKey, limits: limitsOf(storeLimit) })
  const { store } = kept
  try {
    if (store === undefined) throw new ConfigError("Usage", { detail: `Cannot keep books in ${quote(address)}`, advice: "name a store: --storage sqlite:PATH" })
    const host: Host = await Hosts.open({ plugins: await configuredPlugins(plugin), upkeep: false, usage: false, ports: kept.ports })
    const billing = openBilling({ host, store, entity })
    return {
      billing,
      async [Symbol.asyncDispose]() {
        await billing.close()
        await host.close()
        await kept.close()
      },
    }
  } catch (error) {
    await kept.close()
    throw error
  }
}

export function parseInstant(option: string, text: string): bigint {
  const found = readInstant(text)
  if (found === undefined)
    throw new ConfigError("Option", { option, expected: "a day such as 2026-11-01, or an instant such as 2026-11-01T12:00:00Z", actual: quote(text, 60) })
  return found
}

/** `NAME=NUMBER`, of which none is below 0. */
export function parseNumber(option: string, text: string, example: string): readonly [name: string, number: string] {
  const found = /^([^=]+)=((?:0|[1-9]\d*)(?:\.\d{1,18})?)$/.exec(text)
  if (found === null) throw new ConfigError("Option", { option, expected: `NAME=NUMBER such as ${example}, of 0 or more`, actual: quote(text, 100) })
  return [found[1] as string, found[2] as string]
}
