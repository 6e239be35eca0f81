/**
 * Ports as an isolate sees them. Components need none: their imports are asked of the parent one by one. A core module of a
 * foreign ABI is served by functions that read and write its memory, so they run where that memory is and reach the
 * parent's ports through this table. The parent asks the live grants for every entry before it does anything: the isolate's
 * own look at them makes denials the same as inline, it is not what enforces them.
 */
import { CapabilityError } from "../../schemas/error/capability.ts"
import { IsolateError } from "../../schemas/error/isolate.ts"
import { enumeration, func, type FunctionType, list, option, primitive } from "../../schemas/wit/model.ts"
import type { CallContext } from "../capability/capability.ts"
import { coarseNs } from "../capability/clock.ts"
import { GrantSet } from "../capability/grant.ts"
import { writeLog } from "../capability/log.ts"
import { grantCharsMax } from "../capability/scope.ts"
import { printable } from "../../schemas/wit/name.ts"
import { tenantKey, type LogLevel, type LogRecord, type Ports, randomLimits, waitMsMaxDefault } from "../port/mod.ts"
import type { Terminal, Wasi } from "../wasi/given.ts"
import { output, stdin } from "../wasi/stdio.ts"
import { type AskFile, fileFunctions, RemoteDirectory } from "./files.ts"

/** One function of a port: its type, and what the parent does for it, under the grants as they are. */
interface Forwarded {
  readonly type: FunctionType
  readonly serve: (call: CallContext, ...args: ReadonlyArray<never>) => unknown
}

const { string, u32, u64, u8 } = primitive

/** The grant that allows an operation now; otherwise the denial, which ends the call. */
function needed(call: CallContext, head: string, name = ""): string {
  const grant = call.grants.match(head, name)
  if (grant === undefined) throw call.denied(name === "" ? head : `${head}:${name}`)
  return grant
}

const forwarded = {
  log: {
    type: func({ level: enumeration("trace", "debug", "info", "warn", "error", "critical"), context: string, message: string }),
    serve: (call, level: LogLevel, context: string, message: string) => writeLog(call, needed(call, "log"), level, context, message),
  },
  wallNow: {
    type: func({}, u64),
    serve(call) {
      call.used(needed(call, "clock:wall"), 8)
      return call.ports.wallClock.nowNs()
    },
  },
  monotonicNow: {
    type: func({}, u64),
    serve(call) {
      call.used(needed(call, "clock:monotonic"), 8)
      const { monotonicClock } = call.ports
      const nowNs = monotonicClock.nowNs()
      const own = monotonicClock.resolutionNs
      return nowNs - (nowNs % (own > coarseNs || call.grants.allows("clock:monotonic", "fine") ? own : coarseNs))
    },
  },
  random: {
    type: func({ length: u32 }, list(u8)),
    serve(call, length: number) {
      call.used(needed(call, "random"), length)
      return call.ports.random.bytes(length)
    },
  },
  config: {
    type: func({ name: string }, option(string)),
    serve(call, name: string) {
      call.used(needed(call, "config", name), name.length)
      return call.ports.config.get(tenantKey(call.tenant, name))
    },
  },
  denied: {
    type: func({ grant: string }),
    serve: (call, grant: string) => void call.denied(grant),
  },
  // Standard streams that the embedder gives need no grant: they are the program's as its arguments are.
  stdin: {
    type: func({ "bytes-max": u32 }, option(list(u8))),
    serve(call, bytesMax: number) {
      const answer = stdin(call).read(call, bytesMax)
      return answer.tag === "ok" ? answer.val : undefined
    },
  },
  output: {
    type: func({ name: enumeration("stdout", "stderr"), bytes: list(u8) }),
    serve: (call, name: "stdout" | "stderr", bytes: Uint8Array) => void output(call, name).write(call, bytes),
  },
  ...fileFunctions,
} as const satisfies Readonly<Record<string, Forwarded>>

type Name = keyof typeof forwarded
const names = Object.keys(forwarded) as ReadonlyArray<Name>

/** Entry number `index`, for the parent; undefined when there is none. */
export const forwardedAt = (index: number): Forwarded | undefined => {
  const name = names[index]
  return name === undefined ? undefined : forwarded[name]
}

export interface IsolatePorts {
  readonly ports: Ports
  readonly grants: GrantSet
  used(grant: string, bytes: number): void
  denied(grant: string): Error
  /** What a program finds when it starts, from what the parent says of it. */
  wasi(program: Program): Wasi
}

/** As `programType` has it. */
export interface Program {
  readonly args: ReadonlyArray<string>
  readonly env: ReadonlyArray<readonly [string, string]>
  readonly cwd: string | undefined
  readonly terminals: ReadonlyArray<Terminal>
  readonly stdin: boolean
  readonly stdout: boolean
  readonly stderr: boolean
  readonly preopens: ReadonlyArray<readonly [guest: string, path: string]>
}

export const programForm = ({ args, env, cwd, terminals, stdin: input, stdout, stderr, preopens }: Wasi): Program => ({
  args,
  env,
  cwd,
  terminals,
  stdin: input !== undefined,
  stdout: stdout !== undefined,
  stderr: stderr !== undefined,
  preopens: preopens.map(({ guest, path }) => [guest, path]),
})

/** What an isolate has for ports: `ask` calls an entry in the parent and blocks for its answer. */
export function forwardedPorts(
  granted: ReadonlyArray<string>,
  ask: (index: number, type: FunctionType, args: ReadonlyArray<unknown>) => unknown,
  wait: (ms: number) => void,
): IsolatePorts {
  const grants = new GrantSet(granted)
  // oxlint-disable-next-line typescript/no-unnecessary-type-parameters
  const call = <A>(name: Name, ...args: ReadonlyArray<unknown>): A => ask(names.indexOf(name), forwarded[name].type, args) as A
  const absent = <P extends keyof Ports>(port: P): NonNullable<Ports[P]> =>
    new Proxy({} as NonNullable<Ports[P]>, {
      get: (_, key) =>
        key === "isAsync" || key === "limits"
          ? undefined
          : () => {
              throw new IsolateError("Port", { port: `${port}.${String(key)}` })
            },
    })
  return {
    grants,
    ports: {
      log: { write: ({ level, context, message }: LogRecord) => call("log", level, context, message) },
      wallClock: { nowNs: () => call<bigint>("wallNow"), resolutionNs: 1_000n },
      monotonicClock: {
        // Without the grant no guest sees it: only the rate of what the guest logs is measured by it.
        nowNs: () => (grants.allows("clock:monotonic") ? call<bigint>("monotonicNow") : BigInt(Math.round(performance.now() * 1e6))),
        resolutionNs: 1_000n,
        wait,
        waitMsMax: waitMsMaxDefault,
      },
      random: { limits: randomLimits, bytes: (length) => call<Uint8Array>("random", length) },
      config: { get: (key) => call<string | undefined>("config", key.slice(key.indexOf("/") + 1)), list: absent("config").list },
      keyValue: absent("keyValue"),
      blob: absent("blob"),
      secret: absent("secret"),
      event: absent("event"),
      http: absent("http"),
      socket: absent("socket"),
      observer: { emit: () => undefined, dropped: 0 },
    },
    // Counted by the parent, which knows what it did.
    used: () => undefined,
    denied(asked) {
      const grant = printable(asked, grantCharsMax)
      call("denied", grant)
      return new CapabilityError("Denied", { grant, granted: grants.list() })
    },
    wasi: ({ args, env, cwd, terminals, stdin: hasInput, stdout, stderr, preopens }) => ({
      args,
      env,
      cwd,
      terminals,
      stdin: hasInput ? (bytesMax) => call<Uint8Array | undefined>("stdin", bytesMax) : undefined,
      stdout: stdout ? (bytes) => call("output", "stdout", bytes) : undefined,
      stderr: stderr ? (bytes) => call("output", "stderr", bytes) : undefined,
      preopens: preopens.map(([guest, path], number) => ({ guest, path, directory: new RemoteDirectory(call as AskFile, number) })),
    }),
  }
}
