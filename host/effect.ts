/**
 * `stele/effect`: the host as Effect services and layers. Ports come from their services, plugins live in a `Scope`,
 * errors are the typed families, and interruption before a call starts refuses it.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { SteleError } from "../schemas/error/family.ts"
import type { FunctionJsonSchema } from "../schemas/wit/json-schema.ts"
import type { CapabilityError, ConfigError, LimitError, PluginError, VerifyError, WitError } from "../schemas/error/mod.ts"
import { Host as PromiseHost, type HostOptions, type Source } from "./host.ts"
import type { CompositionError } from "../schemas/error/composition.ts"
import type { PoolError } from "../schemas/error/pool.ts"
import type { CallOptions, LoadOptions, ReplaceOptions } from "./options.ts"
import type { AnswerOf, Arguments, ExportName, UntypedExports } from "../schemas/wit/exports.ts"
import type { Answered, Description, Plugin as PromisePlugin } from "./plugin.ts"
import { layerMemory as portsMemory, portsEffect } from "./port/layer.ts"

export { effectSchema, effectSchemaFromJson, functionEffectSchema } from "../schemas/wit/effect-schema.ts"
export * from "./port/layer.ts"

/** What a load can fail with. */
export type LoadError = VerifyError | CapabilityError | LimitError | PluginError | PoolError | CompositionError | ConfigError
/** What a call can fail with. */
export type CallError = PluginError | PoolError | CompositionError | WitError | LimitError | CapabilityError | ConfigError

/** A loaded plugin. Closed with the scope it was loaded in. */
export interface Plugin<E extends object = UntypedExports> {
  readonly digest: string
  readonly describe: Effect.Effect<Description>
  readonly schemas: Effect.Effect<ReadonlyMap<string, FunctionJsonSchema>>
  readonly call: <K extends ExportName<E>>(name: K, args: Arguments<E, K>, options?: Omit<CallOptions, "signal">) => Effect.Effect<AnswerOf<E, K>, CallError>
  readonly callWithUsage: <K extends ExportName<E>>(
    name: K,
    args: Arguments<E, K>,
    options?: Omit<CallOptions, "signal">,
  ) => Effect.Effect<Answered<AnswerOf<E, K>>, CallError>
  readonly grant: (grant: string) => Effect.Effect<void, CapabilityError>
  readonly revoke: (grant: string) => Effect.Effect<boolean, CapabilityError>
  readonly replace: (source: Source, options?: ReplaceOptions) => Effect.Effect<void, LoadError>
}

/** Typed errors fail the effect; anything else is a defect. */
const attempt = <A, E>(body: (signal: AbortSignal) => Promise<A>): Effect.Effect<A, E> =>
  Effect.tryPromise({ try: body, catch: (error) => error }).pipe(
    Effect.catch((error) => (error instanceof SteleError ? Effect.fail(error as unknown as E) : Effect.die(error))),
  )

const trySync = <A, E>(body: () => A): Effect.Effect<A, E> =>
  Effect.try({ try: body, catch: (error) => error }).pipe(
    Effect.catch((error) => (error instanceof SteleError ? Effect.fail(error as unknown as E) : Effect.die(error))),
  )

function wrap<E extends object>(plugin: PromisePlugin<E>): Plugin<E> {
  return {
    get digest() {
      return plugin.digest
    },
    describe: Effect.sync(() => plugin.describe()),
    schemas: Effect.promise(() => plugin.schemas()),
    call: (name, args, options) => attempt((signal) => plugin.call(name, args, { ...options, signal })),
    callWithUsage: (name, args, options) => attempt((signal) => plugin.callWithUsage(name, args, { ...options, signal })),
    grant: (grant) => trySync(() => plugin.grant(grant)),
    revoke: (grant) => trySync(() => plugin.revoke(grant)),
    replace: (source, options) => attempt(() => plugin.replace(source, options)),
  }
}

/**
 *     const program = Effect.gen(function* () {
 *       const host = yield* Host
 *       const plugin = yield* host.load("./greeter.wasm", { grants: ["log"] })
 *       return yield* plugin.call("acme:greeter/api#greet", [{ name: "Ada" }])
 *     }).pipe(Effect.scoped, Effect.provide(Host.layerMemory))
 */
export class Host extends Context.Service<
  Host,
  {
    readonly load: <E extends object = UntypedExports>(source: Source, options?: LoadOptions) => Effect.Effect<Plugin<E>, LoadError, Scope.Scope>
    readonly store: (bytes: Uint8Array) => Effect.Effect<string, CapabilityError>
  }
>()("stele/Host") {
  /** The host over the port services; closes with the layer's scope. */
  static readonly layer = (options: Omit<HostOptions, "ports"> = {}) =>
    Layer.effect(
      Host,
      Effect.gen(function* () {
        const ports = yield* portsEffect
        const host = yield* Effect.acquireRelease(
          attempt<PromiseHost, ConfigError>(() => PromiseHost.open({ ...options, ports })),
          (host) => Effect.promise(() => host.close()),
        )
        return Host.of({
          load: <E extends object = UntypedExports>(source: Source, options?: LoadOptions) =>
            Effect.acquireRelease(
              attempt<PromisePlugin<E>, LoadError>(() => host.load<E>(source, options)),
              (plugin) => Effect.promise(() => plugin.close()),
            ).pipe(Effect.map(wrap)),
          store: (bytes) => attempt<string, CapabilityError>(() => host.store(bytes)),
        })
      }),
    )

  /** The host with every port in memory. */
  static readonly layerMemory = Host.layer().pipe(Layer.provide(portsMemory))
}
