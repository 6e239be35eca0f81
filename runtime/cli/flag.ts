/** Flags that many commands share, and how a command's work becomes an effect. */
import * as Flag from "effect/cli/Flag"
import * as GlobalFlag from "effect/cli/GlobalFlag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"

export const Json = GlobalFlag.Setting("json")({
  flag: Flag.Boolean("json").pipe(Flag.withoutNegation, Flag.withDefault(false), Flag.withDescription("Print results and errors as JSON")),
})
export const Debug = GlobalFlag.Setting("debug")({
  flag: Flag.Boolean("debug").pipe(Flag.withoutNegation, Flag.withDefault(false), Flag.withDescription("Print stack traces of errors")),
})

export const isOn = (name: string, description: string) =>
  Flag.Boolean(name).pipe(Flag.withoutNegation, Flag.withDefault(false), Flag.withDescription(description))
export const text = (name: string, metavar: string, description: string) =>
  Flag.String(name).pipe(Flag.withMetavar(metavar), Flag.withDescription(description), Flag.optional, Flag.map(Option.getOrUndefined))
export const many = (name: string, metavar: string, description: string) =>
  Flag.String(name).pipe(Flag.withMetavar(metavar), Flag.withDescription(description), Flag.atLeast(0))

/** What a plugin is loaded with. */
export const loadFlags = {
  grant: many("grant", "GRANT", "What the plugin may do, such as log or kv:read:prices/*; repeat for more (stele explain grants)"),
  memory: text("memory", "BYTES", "Most linear memory: 65536, 64KiB, 16MiB (default 64MiB)"),
  limit: many("limit", "NAME=VALUE", "Any other limit, such as stackBytesMax=64KiB (stele explain limits)"),
  metering: text("metering", "TIER", "deadline (default), fuel or off"),
  fuel: text("fuel", "N", "Most fuel, such as 1000000 or 10M; implies --metering fuel"),
  tenant: Flag.String("tenant").pipe(
    Flag.withMetavar("NAME"),
    Flag.withDefault("default"),
    Flag.withDescription("Whom the call is for: separates stored keys"),
  ),
}

/** A failure passes as it is: the entry knows how to show each. */
export const run = (work: (signal: AbortSignal) => void | Promise<void>) => Effect.tryPromise({ try: async (signal) => work(signal), catch: (error) => error })
