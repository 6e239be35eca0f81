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

/** Plugins that serve imports of the one that is loaded. */
export const linkFlags = {
  link: many(
    "link",
    "INTERFACE=FILE",
    "A plugin that serves an import, such as acme:prices/api=prices.wasm; each call of it needs --grant call:INTERFACE#FUNCTION",
  ),
  linkGrant: many("link-grant", "INTERFACE=GRANT", "What the plugin that serves an import may do itself, such as acme:prices/api=log"),
}

export const objects = text("objects", "ADDRESS", "Where blobs are kept: folder:PATH or s3://BUCKET/PREFIX (default: beside the store, or in your data folder)")
export const storageKey = text("storage-key", "SOURCE", "The master key that stored values are sealed by, 32 bytes: file:PATH or env:NAME")

/** What the ports of a plugin that is loaded for one command have. */
export const portFlags = {
  config: many("config", "NAME=VALUE", "A setting that config:NAME lets the plugin read"),
  secret: many("secret", "NAME=SOURCE", "A secret for secret:NAME, from env:VARIABLE or file:PATH"),
  storage: text(
    "storage",
    "ADDRESS",
    "Where what plugins store is kept: memory (default), sqlite:PATH, sqlite-tenants:FOLDER, postgres://USER@HOST/DATABASE or pglite:PATH",
  ),
  objects,
  storageKey,
  kv: many("kv", "BUCKET/KEY=VALUE", "A stored value to start with: prices/tea=3.20"),
}

/** Components in the place of first-party plugins: `configuredPlugins` takes them. */
export const pluginFlag = many("plugin", "NAME=FILE", "A component in the place of a first-party plugin (else STELE_PLUGIN_NAME, else plugins in stele.json)")

/** What a program, or a component that is served, finds of this machine. */
export const programFlags = {
  dir: many("dir", "HOST[::GUEST][:ro]", "A folder it may use, by the name it sees it by; :ro to read only; repeat for more"),
  env: many("env", "NAME[=VALUE]", "A variable it finds; without a value, what is set here"),
}

export const withUsage = isOn("usage", "Print fuel, time, memory and grants used")
export const port = (description: string) => text("port", "PORT", description)
export const deadline = (what: string, example: string) => text("deadline", "TIME", `When ${what} is stopped: ${example}`)

/** Flags that every command has. */
export interface CommonFlags {
  readonly json: boolean
  readonly debug: boolean
}

/** What a command does with its flags, as its handler. A failure passes as it is: the entry knows how to show each. */
export const action =
  <F extends object>(work: (flags: F & CommonFlags, signal: AbortSignal) => void | Promise<void>) =>
  (flags: F) =>
    Effect.gen(function* () {
      const common = { json: yield* Json, debug: yield* Debug }
      yield* Effect.tryPromise({ try: async (signal) => work({ ...flags, ...common }, signal), catch: (error) => error })
    })
