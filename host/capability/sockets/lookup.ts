/** Look-ups of names, for whoever may reach the name by some socket. */
import { NetworkError } from "../../../schemas/error/network.ts"
import type { SocketPort } from "../../port/mod.ts"
import type { Waker } from "../../port/waker.ts"
import type { CallContext } from "../capability.ts"
import { pending, type Pollable } from "../io.ts"
import { parseHost, type Place } from "../network/target.ts"
import { err, ok, type Result } from "../serve.ts"
import { addressOf, codeOf, type IpAddress } from "./place.ts"
import { knownTo, learn, mayResolve, socketsMax } from "./reach.ts"

/** Rep of `resolve-address-stream`. */
export class AddressStream {
  readonly #found: Array<Uint8Array> = []
  readonly #place: Place
  readonly #lookup: ReturnType<SocketPort["resolve"]> | undefined
  readonly #waker: Waker
  #error: NetworkError | undefined
  #isKnown = false

  constructor(call: CallContext, place: Place) {
    this.#place = place
    this.#waker = call.ports.socket.waker
    if (place.address !== undefined) {
      this.#isKnown = true
      this.#found.push(place.address)
      return
    }
    knownTo(call).sockets++
    this.#lookup = call.ports.socket.resolve(place.host, call.ports.socket.limits)
  }

  #look(call: CallContext): void {
    if (this.#isKnown) return
    const found = this.#lookup?.result()
    if (found === undefined) return
    this.#isKnown = true
    if (found instanceof NetworkError) this.#error = found
    else this.#found.push(...found.filter((address) => learn(call, this.#place, address)))
  }

  next(call: CallContext): Result<IpAddress | undefined, string> {
    this.#look(call)
    if (!this.#isKnown) return err("would-block")
    if (this.#error !== undefined) return err(codeOf(this.#error))
    const address = this.#found.shift()
    return ok(address === undefined ? undefined : addressOf(address))
  }

  subscribe(): Pollable {
    return pending(this.#waker, (call) => {
      this.#look(call)
      return this.#isKnown
    })
  }

  drop(call: CallContext): void {
    if (this.#lookup === undefined) return
    knownTo(call).sockets--
    this.#lookup.close()
  }
}

export function resolveAddresses(call: CallContext, name: string): Result<AddressStream, string> {
  const place = name.length > 256 ? undefined : parseHost(name)
  if (place === undefined) return err("invalid-argument")
  if (place.address === undefined) {
    const grant = mayResolve(call, place)
    if (grant === undefined) {
      // What it was looked up for is not known; the first of the two grants that would let it be.
      call.denied(`tcp:connect:${place.host}:*`)
      return err("access-denied")
    }
    if (knownTo(call).sockets >= socketsMax) return err("new-socket-limit")
    call.used(grant, 0)
  }
  return ok(new AddressStream(call, place))
}
