/** A seller's books as commands open them: the store, the rules in force, and instants, days and decimals as people write them. */
import { ConfigError } from "../../schemas/error/config.ts"
import { readInstant } from "../../schemas/billing/instant.ts"
import { quote } from "../../schemas/value/form.ts"
import type { Host } from "../../host/host.ts"
import { type Billing, openBilling } from "../billing/mod.ts"
import { configuredPlugins } from "../plugins/configuration.ts"
import { Host as Hosts } from "../mod.ts"
import { defaultStorage } from "../storage/default.ts"
import { openStorage } from "../storage/storage.ts"

export interface BooksFlags {
  readonly storage: string | undefined
  readonly objects: string | undefined
  readonly storageKey: string | undefined
  readonly entity: string
  readonly plugin: ReadonlyArray<string>
  readonly json: boolean
}

/** Opens the books; rules and store are let go of with them. */
export async function openBooks({ entity, objects, plugin, storage, storageKey }: BooksFlags): Promise<{ readonly billing: Billing } & AsyncDisposable> {
  const address = storage ?? defaultStorage(process.env)
  if (address === undefined || address === "memory")
    throw new ConfigError("Usage", { detail: "Cannot tell where the books are kept", advice: "name a store: --storage sqlite:PATH" })
  const kept = await openStorage(address, { objects, storageKey })
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

/** `NAME=NUMBER`. */
export function parseNumber(option: string, text: string, example: string): readonly [name: string, number: string] {
  const found = /^([^=]+)=(-?(?:0|[1-9]\d*)(?:\.\d{1,18})?)$/.exec(text)
  if (found === null) throw new ConfigError("Option", { option, expected: `NAME=NUMBER such as ${example}`, actual: quote(text, 100) })
  return [found[1] as string, found[2] as string]
}
