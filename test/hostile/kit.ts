/**
 * The hostile kit: what a guest file states, and how one is run. A guest is bytes or a component that attacks the host;
 * what may come of it is a typed error with the expected code or a correct result, in bounded time, with a healthy
 * neighbour still working, nothing left alive and nothing of the host's world changed.
 */
import { readdir } from "node:fs/promises"
import { type CallOptions, GuestResource, Host, type LoadOptions, type Plugin, SteleError } from "../../host/mod.ts"
import { memoryLog } from "../../host/port/mod.ts"
import { guest as guestOf } from "../host/component-builder.ts"

/** Call of an export; `args` may need a plugin's own values, so it can be a function. */
export interface HostileCall {
  readonly export: string
  readonly args?: ReadonlyArray<unknown>
  readonly options?: CallOptions
}

export interface Guest {
  /** Its threat, completing the title "the host survives …". */
  readonly threat: string
  readonly bytes: () => Uint8Array | Promise<Uint8Array>
  /** Load options; the function form gets what re-entry and observation need. */
  readonly load?: LoadOptions | ((scene: Scene) => LoadOptions)
  /** Calls to make, one after the other; all but the last must work or fail with a code of `calls`. */
  readonly call?: HostileCall | ReadonlyArray<HostileCall>
  /** The code of the error `load` fails with; or per call the code, or the result it must give. Several codes where engines differ in what they notice first. */
  readonly expect: { readonly load: string | ReadonlyArray<string> } | { readonly calls: ReadonlyArray<Outcome> }
  /** Most milliseconds for load and calls together; default 5,000. */
  readonly msMax?: number
  /** What else must hold afterwards; returns problems. */
  readonly check?: (scene: Scene) => ReadonlyArray<string>
}

/** A code, several possible ones, or a result. */
export type Outcome = string | ReadonlyArray<string> | { readonly result: unknown }

/** What stands around a guest: its plugin once loaded, and what its host functions saw. */
export interface Scene {
  plugin: Plugin | undefined
  /** Host functions that guests call count here. */
  hostCalls: number
  /** Codes of errors seen by host functions of the guest. */
  readonly seen: Array<string>
  readonly log: ReturnType<typeof memoryLog>
}

/** The ways an inline guest is stopped. All guests that are called run under each. */
export const mechanisms = ["watchdog", "slices", "fuel"] as const
export type MechanismName = (typeof mechanisms)[number]

/** All guests by file name, in order. */
export async function guests(): Promise<ReadonlyMap<string, Guest>> {
  const out = new Map<string, Guest>()
  for (const file of (await readdir(new URL("guest/", import.meta.url))).sort()) {
    const { default: guest } = (await import(new URL(`guest/${file}`, import.meta.url).href)) as { readonly default: Guest }
    out.set(file.replace(/\.ts$/, ""), guest)
  }
  return out
}

/** A well-behaved neighbour: echoes a number and a string. */
export const healthy = (): Promise<Uint8Array> =>
  guestOf({
    core: `(memory (export "memory") 1)
      (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
      (func (export "twice") (param i32) (result i32) (i32.mul (local.get 0) (i32.const 2)))
      (func (export "echo") (param i32 i32) (result i32) (i32.store (i32.const 0) (local.get 0)) (i32.store (i32.const 4) (local.get 1)) (i32.const 0))`,
    exports: { twice: `(param "n" u32) (result u32)`, echo: `(param "text" string) (result string)` },
  })

/** A host of each mechanism with the healthy neighbour loaded. */
export interface Stage {
  readonly mechanism: MechanismName
  readonly host: Host
  readonly neighbour: Plugin
  readonly log: ReturnType<typeof memoryLog>
}

export async function openStage(mechanism: MechanismName): Promise<Stage> {
  const log = memoryLog()
  const host = await Host.open({ cache: false, ports: { log }, ...(mechanism === "slices" ? { stop: "fuel slices" } : {}) })
  const neighbour = await host.load(await healthy(), { metering: mechanism === "fuel" ? "fuel" : "deadline" })
  return { mechanism, host, neighbour, log }
}

/** Own names of the prototypes and globals that an attack would change. */
const worldOf = (): string =>
  [Object.prototype, Array.prototype, Function.prototype, Map.prototype, String.prototype, globalThis]
    .map((object) => Reflect.ownKeys(object).map(String).sort().join())
    .join("|")

const codeOf = (error: unknown): string =>
  error instanceof SteleError ? error.code : `untyped ${error instanceof Error ? `${error.name}: ${error.message}\n${error.stack ?? ""}` : String(error)}`

// Control characters but tab and newline, and characters that change the direction of text.
// oxlint-disable-next-line no-control-regex
const unsafeText = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/

/** A message that may go to a terminal, and a JSON form. */
function messageProblems(error: SteleError): ReadonlyArray<string> {
  const problems: Array<string> = []
  const text = `${error.message} ${error.fix}`
  if (unsafeText.test(text)) problems.push(`its message holds raw control characters: ${JSON.stringify(text)}`)
  if (error.message.length > 2_000) problems.push(`its message is ${error.message.length} characters long`)
  if (JSON.stringify(error).length > 20_000) problems.push("its JSON form is longer than 20,000 characters")
  return problems
}

const matches = (code: string, expected: string | ReadonlyArray<string>): boolean =>
  typeof expected === "string" ? code === expected : expected.includes(code)

/** Structural equality that knows NaN, typed arrays and undefined. */
const shown = (value: unknown): string =>
  JSON.stringify(value, (_key, v: unknown) =>
    typeof v === "bigint"
      ? `${v}n`
      : v === undefined
        ? "undefined"
        : ArrayBuffer.isView(v)
          ? [...(v as Uint8Array)]
          : v instanceof GuestResource
            ? "a resource"
            : v,
  ) ?? "undefined"

/** Guests' bytes: some take longer to build than to survive, and each stage needs them. */
const built = new WeakMap<Guest, Uint8Array>()

/** Runs one guest on a stage; answers what went wrong, nothing when all is as it should be. */
export async function runGuest(stage: Stage, guest: Guest): Promise<ReadonlyArray<string>> {
  const problems: Array<string> = []
  const { host, neighbour, mechanism } = stage
  const world = worldOf()
  const scene: Scene = { plugin: undefined, hostCalls: 0, seen: [], log: stage.log }
  const options = typeof guest.load === "function" ? guest.load(scene) : (guest.load ?? {})
  let bytes = built.get(guest)
  if (bytes === undefined) built.set(guest, (bytes = await guest.bytes()))
  const startedMs = performance.now()
  const expectedLoad = "load" in guest.expect ? guest.expect.load : undefined
  let plugin: Plugin | undefined
  try {
    // A call that has no deadline of its own must not fail because the machine is busy; fuel beyond reach leaves the deadline to stop it.
    const metering = options.metering ?? (mechanism === "fuel" ? "fuel" : "deadline")
    plugin = await host.load(bytes, { ...options, metering, limits: { deadlineMs: 10_000, fuel: Number.MAX_SAFE_INTEGER, ...options.limits } })
    scene.plugin = plugin
    if (expectedLoad !== undefined) problems.push(`it loaded; expected ${String(expectedLoad)}`)
  } catch (error) {
    const code = codeOf(error)
    if (expectedLoad === undefined || !matches(code, expectedLoad))
      problems.push(`loading ended with ${code} (${(error as Error).message}); expected ${expectedLoad === undefined ? "a plugin" : String(expectedLoad)}`)
    else if (error instanceof SteleError) problems.push(...messageProblems(error))
  }
  if (plugin !== undefined && "calls" in guest.expect) {
    const calls = (guest.call === undefined ? [] : Array.isArray(guest.call) ? guest.call : [guest.call]) as ReadonlyArray<HostileCall>
    if (calls.length !== guest.expect.calls.length) problems.push("it states another number of outcomes than calls")
    for (const [i, call] of calls.entries()) {
      const expected = guest.expect.calls[i] as Outcome
      const wantsResult = typeof expected === "object" && "result" in expected
      try {
        const result: unknown = await plugin.call(call.export, (call.args ?? []) as never, call.options ?? {})
        if (!wantsResult) problems.push(`call ${i} answered ${shown(result).slice(0, 200)}; expected ${String(expected)}`)
        else if (shown(result) !== shown(expected.result))
          problems.push(`call ${i} answered ${shown(result).slice(0, 200)}; expected ${shown(expected.result).slice(0, 200)}`)
      } catch (error) {
        const code = codeOf(error)
        if (wantsResult || !matches(code, expected as string | ReadonlyArray<string>))
          problems.push(
            `call ${i} ended with ${code} (${(error as Error).message}); expected ${wantsResult ? shown(expected.result).slice(0, 200) : String(expected)}`,
          )
        else if (error instanceof SteleError) problems.push(...messageProblems(error))
      }
    }
  }
  const tookMs = performance.now() - startedMs
  if (tookMs > (guest.msMax ?? 5_000)) problems.push(`it took ${Math.round(tookMs)} ms; at most ${guest.msMax ?? 5_000}`)
  problems.push(...(guest.check?.(scene) ?? []))
  await plugin?.close()
  if (plugin !== undefined && plugin.instances !== 0) problems.push(`${plugin.instances} instances are alive after close`)

  // The host is alive, the neighbour works, the world is as it was.
  if (neighbour.callSync("twice", [21] as never) !== 42) problems.push("the neighbour does not compute")
  if (neighbour.callSync("echo", ["tüte"] as never) !== "tüte") problems.push("the neighbour does not echo")
  if (neighbour.instances !== 0) problems.push(`the neighbour has ${neighbour.instances} instances alive`)
  if ((globalThis as { PWN?: unknown }).PWN !== undefined) problems.push("it ran code in the host")
  if (worldOf() !== world) problems.push("it changed a prototype or a global")
  return problems
}
