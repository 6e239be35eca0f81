/** Calls host functions as the binder would, with a call context that remembers what it was told. */
import { Spending } from "../../host/call/quota.ts"
import type { CallContext, HostResource } from "../../host/capability/capability.ts"
import { GrantSet } from "../../host/capability/grant.ts"
import { capabilities } from "../../host/capability/mod.ts"
import { defaultLimits, type Limits } from "../../host/options.ts"
import { manualMonotonicClock, memoryLog, memoryPorts, type Ports } from "../../host/port/mod.ts"
import { nothing, type Wasi } from "../../host/wasi/given.ts"
import { CapabilityError, LimitError } from "../../schemas/error/mod.ts"

export interface TestCall extends CallContext {
  readonly clock: ReturnType<typeof manualMonotonicClock>
  readonly log: ReturnType<typeof memoryLog>
  readonly uses: Array<readonly [grant: string, bytes: number]>
  readonly denials: Array<string>
  /** Milliseconds `remainingMs` answers with. */
  remaining: number
  wasi: Wasi
  limits: Limits
  /** Runs what is to run when the instance is discarded. */
  discard(): void
  /** Another instance of the same plugin. */
  again(): TestCall
  /** Calls `interface#function`; the newest version where none is given. */
  do(name: string, ...args: ReadonlyArray<unknown>): unknown
  /** Drops a handle's rep as the instance would. */
  drop(interfaceName: string, resource: string, rep: unknown): void
}

/** Everything served, what is loaded later included. */
const interfaces = (await Promise.all(capabilities.map(async (c) => [...c.interfaces, ...((await c.later?.load()) ?? [])]))).flat()

function find(name: string): (typeof interfaces)[number] {
  const at = name.indexOf("@")
  const [plain, version] = at === -1 ? [name, undefined] : [name.slice(0, at), name.slice(at + 1)]
  const found = interfaces.findLast((i) => i.name === plain && (version === undefined || i.version === version))
  if (found === undefined) throw new Error(`There is no interface "${name}"`)
  return found
}

export function testCall(grants: ReadonlyArray<string>, given: Partial<Ports> = {}, tenant = "tenant"): TestCall {
  const clock = manualMonotonicClock(1_000_000_000n)
  const log = memoryLog()
  const ports = memoryPorts({ monotonicClock: clock, log, ...given })
  return instance(new GrantSet(grants), ports, clock, log, tenant)
}

function instance(grants: GrantSet, ports: Ports, clock: TestCall["clock"], log: TestCall["log"], tenant: string): TestCall {
  const closers: Array<() => void> = []
  const spending = new Spending()
  const call: TestCall = {
    tenant,
    plugin: "sha256:0001",
    grants,
    ports,
    wasi: nothing,
    signal: undefined,
    trace: undefined,
    limits: defaultLimits,
    clock,
    log,
    uses: [],
    denials: [],
    remaining: 1_000,
    mayWait: () => false,
    ended: () => new AbortController().signal,
    remainingMs: () => call.remaining,
    expired: () => new LimitError("deadlineMs", { limit: 1_000 }),
    atDiscard: (close) => void closers.push(close),
    discard() {
      for (const close of closers.splice(0)) close()
    },
    spend: (limit, amount) => spending.spend(call.limits, limit, amount),
    used: (grant, bytes) => void call.uses.push([grant, bytes]),
    denied(grant) {
      call.denials.push(grant)
      return new CapabilityError("Denied", { grant, granted: grants.list() })
    },
    again: () => instance(grants, ports, clock, log, tenant),
    do(name, ...args) {
      const [of, label] = name.split("#") as [string, string]
      const served = find(of).functions.get(label)
      if (served === undefined) throw new Error(`There is no function "${name}"`)
      // The binder passes exactly the declared parameters.
      if (args.length !== served.type.params.length) throw new Error(`"${name}" takes ${served.type.params.length} arguments`)
      return (served.call as (call: CallContext, ...args: ReadonlyArray<unknown>) => unknown)(call, ...args)
    },
    drop(of, resource, rep) {
      ;(find(of).resources.get(resource) as HostResource).drop?.(call, rep)
    },
  }
  return call
}

/** The code of what `act` throws, "none" when it returns. */
export function codeOf(act: () => unknown): string {
  try {
    act()
    return "none"
  } catch (error) {
    return error instanceof Error && "code" in error ? String(error.code) : String(error)
  }
}

/** Payload of an `ok`; anything else fails the test that asks. */
export function okOf(answer: unknown): unknown {
  const { tag, val } = answer as { tag: string; val: unknown }
  if (tag !== "ok") throw new Error(`Expected ok, got ${tag} ${JSON.stringify(val)}`)
  return val
}
