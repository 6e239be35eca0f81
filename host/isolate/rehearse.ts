/**
 * All that an isolate does, done once: a sample is loaded and called over a channel that has nobody at its other end. What the engine has
 * compiled by then is what it would compile for each plugin anew, and can be kept. The sample is ours: nothing of any plugin is in what is kept.
 */
import { fromBase64 } from "../../schemas/value/base64.ts"
import { primitive, tuple } from "../../schemas/wit/model.ts"
import { defaultLimits } from "../options.ts"
import { type GuestChannel, serveGuest } from "./guest.ts"
import type { GuestPlatform } from "./link.ts"
import { ask, loadType, type LoadRequest } from "./protocol.ts"
import { sampleBase64 } from "./sample.gen.ts"
import { Encoder, type Incoming, messageBuffer, noHandles } from "./wire.ts"

/** The kinds of what the isolate said. */
export async function rehearse(platform: GuestPlatform): Promise<ReadonlyArray<number>> {
  const said: Array<number> = []
  const encoder = new Encoder(noHandles, undefined, 1 << 20, () => new RangeError("The sample is too long"))
  const request: LoadRequest = {
    component: fromBase64(sampleBase64) as Uint8Array,
    digest: "",
    tenant: "",
    injected: "abcdefghijklmnopqrstuv",
    isSnapshot: false,
    mechanism: "slice",
    limits: Object.entries(defaultLimits),
    grants: [],
    numbers: [],
    program: { args: [], env: [], cwd: undefined, terminals: [], stdin: false, stdout: false, stderr: false, preopens: [] },
  }
  const params = tuple(primitive.string, { kind: "list", element: primitive.u8 }, primitive.f64)
  const call = (): void => {
    encoder.begin({ kind: ask.call, a: 0, b: 1, x: 10_000, y: 10_000 })
    encoder.value(params, ["sample", Uint8Array.of(1, 2, 3), 1], "args")
  }
  const answer = (): void => encoder.begin({ kind: ask.answer })
  const load = (): void => {
    encoder.begin({ kind: ask.load })
    encoder.value(loadType, request, "load")
  }
  // Each call asks the host for something.
  const script = [load, call, answer, call, answer]
  const channel: GuestChannel = {
    data: undefined,
    hasMore: false,
    isStopped: () => false,
    send: (message) => void said.push(new Int32Array(message.bytes.slice(0, 4).buffer)[0] as number),
    receive(): Incoming | undefined {
      const next = script.shift()
      if (next === undefined) return undefined
      next()
      const whole = new Uint8Array(messageBuffer(encoder.length))
      whole.set(encoder.bytes)
      return { buffer: whole.buffer, length: encoder.length }
    },
  }
  await serveGuest(channel, platform)
  return said
}
