/**
 * `wasi:random`: `random` gives the platform's cryptographic bytes, `random:seeded[:SEED]` the same bytes for the same
 * seed everywhere (`host/capability/chacha20.ts`), from the start for each fresh instance. Where both are granted the
 * unpredictable one serves. WIT: WASI 0.2.12 as shipped with jco 1.35.
 */
import { CapabilityError } from "../../schemas/error/mod.ts"
import { func, list, primitive, tuple } from "../../schemas/wit/model.ts"
import { randomLimits } from "../port/mod.ts"
import { utf8Length } from "../port/port.ts"
import type { CallContext, Capability } from "./capability.ts"
import { PerInstance } from "./per-instance.ts"
import { SeededBytes, seedBytesMax } from "./chacha20.ts"
import { type Grant, isWithin, refuse, special } from "./scope.ts"
import { hostInterface, serve, settled } from "./serve.ts"
import { wasiVersion } from "./io.ts"

/** `random` covers every name below it: "", "seeded" and "seeded:SEED". */
function parse(text: string, parts: ReadonlyArray<string>): Grant {
  if (parts.length === 0) return special("random", "random", { text: "", isPrefix: true })
  const [word, ...seed] = parts
  if (word !== "seeded") refuse(text, "random is random, random:seeded or random:seeded:SEED")
  if (seed.length > 0 && seed.join(":") === "") refuse(text, "its seed is empty; write random:seeded")
  if (utf8Length(seed.join(":")) > seedBytesMax) refuse(text, `its seed is longer than ${seedBytesMax} bytes`)
  return special(text, "random", { text: parts.join(":"), isPrefix: false })
}

/** Numbers of the streams, so that what one interface draws does not shift another. */
const streams = { random: 0, insecure: 1, seed: 2 } as const

interface Seeded {
  readonly revision: number
  readonly grant: string
  readonly bytes: Readonly<Record<keyof typeof streams, SeededBytes>>
}
const seeded = new PerInstance<Seeded>()

/** The seeded generators of this instance, or undefined without a seeded grant. They go on as long as the same grant serves. */
function seededOf(call: CallContext): Seeded | undefined {
  const known = seeded.get(call)
  const revision = call.grants.revision
  if (known !== undefined && known.revision === revision) return known
  const grant = call.grants.under("random").find((g) => !g.scope.isPrefix && call.grants.allows("random", g.scope.text))
  if (grant === undefined) return undefined
  const seed = grant.scope.text.slice("seeded:".length)
  const bytes =
    known?.grant === grant.text
      ? known.bytes
      : { random: new SeededBytes(seed, streams.random), insecure: new SeededBytes(seed, streams.insecure), seed: new SeededBytes(seed, streams.seed) }
  const entry = { revision, grant: grant.text, bytes }
  seeded.set(call, entry)
  return entry
}

/** `length` bytes of a stream; throws the denial. */
export function draw(call: CallContext, stream: keyof typeof streams, length: number): Uint8Array {
  const grant = call.grants.match("random", "")
  if (grant !== undefined) {
    call.used(grant, length)
    return settled(call.ports.random.bytes(length), "wasi:random/random")
  }
  const source = seededOf(call)
  if (source === undefined) throw call.denied("random")
  if (length > randomLimits.bytesMax)
    throw new CapabilityError("PortLimit", { port: "random", limit: "bytesMax", unit: "bytes", max: randomLimits.bytesMax, actual: length })
  call.used(source.grant, length)
  return source.bytes[stream].fill(new Uint8Array(length))
}

/** Above 2^53 the exact length does not matter: it is over every limit. */
const drawList = (stream: "random" | "insecure") => (call: CallContext, len: bigint) => draw(call, stream, Number(len))

function drawU64(call: CallContext, stream: keyof typeof streams): bigint {
  const bytes = draw(call, stream, 8)
  return new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true)
}

const { u8, u64 } = primitive

export const random: Capability = {
  name: "random",
  risk: "The plugin's answers can differ from run to run; with random:seeded they cannot.",
  mode: "sync",
  forms: ["random", "random:seeded[:SEED]"],
  isInert: false,
  parse,
  subset: isWithin,
  interfaces: [
    hostInterface("wasi:random/random", wasiVersion, {
      functions: {
        "get-random-bytes": serve(func({ len: u64 }, list(u8)), drawList("random")),
        "get-random-u64": serve(func({}, u64), (call) => drawU64(call, "random")),
      },
    }),
    hostInterface("wasi:random/insecure", wasiVersion, {
      functions: {
        "get-insecure-random-bytes": serve(func({ len: u64 }, list(u8)), drawList("insecure")),
        "get-insecure-random-u64": serve(func({}, u64), (call) => drawU64(call, "insecure")),
      },
    }),
    hostInterface("wasi:random/insecure-seed", wasiVersion, {
      functions: {
        "insecure-seed": serve(func({}, tuple(u64, u64)), (call) => [drawU64(call, "seed"), drawU64(call, "seed")]),
      },
    }),
  ],
  needs: () => "random",
  heads: () => ["random"],
  ports: ["random"],
}
