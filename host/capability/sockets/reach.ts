/** What a plugin instance may reach, and how many sockets it has: the network's rule for every kind of socket. */
import type { SocketPlace } from "../../port/mod.ts"
import type { CallContext } from "../capability.ts"
import { PerInstance } from "../per-instance.ts"
import { printAddress, special } from "../network/address.ts"
import { type Place, socketKey } from "../network/target.ts"

/** Sockets, and look-ups, of one plugin instance at once. */
export const socketsMax = 16
/** Addresses that an instance's look-ups are remembered for. */
const addressesMax = 256

interface Known {
  sockets: number
  /** What look-ups found: names by address. */
  readonly names: Map<string, Set<Place>>
}
const instances = new PerInstance<Known>()
export function knownTo(call: CallContext): Known {
  let known = instances.get(call)
  if (known === undefined) instances.set(call, (known = { sockets: 0, names: new Map() }))
  return known
}

/** Remembers under which name an address was found; false when there is no room for more. */
export function learn(call: CallContext, place: Place, address: Uint8Array): boolean {
  const { names } = knownTo(call)
  const text = printAddress(address)
  if (!names.has(text) && names.size >= addressesMax) return false
  const places = names.get(text) ?? new Set()
  places.add(place)
  names.set(text, places)
  return true
}

/** Heads whose grants name places elsewhere. */
export type Towards = "tcp:connect" | "udp:send"
const towards: ReadonlyArray<Towards> = ["tcp:connect", "udp:send"]

/** The grant that lets a name be looked up: one to reach it on some port. */
export function mayResolve(call: CallContext, place: Place): string | undefined {
  for (const head of towards)
    for (const { scope } of call.grants.under(head)) {
      const port = /^tcp:(\d*)/.exec(scope.text)?.[1]
      if (port === undefined) continue
      const grant = call.grants.match(head, socketKey(place, Number(port)))
      if (grant !== undefined) return grant
    }
  return undefined
}

/**
 * What the grants are asked for when this place is reached: the address where a grant names it; else a name that it was
 * found under and that is granted. Judged when it was found, and again here: no name leads to an address that is not global.
 */
export function reach(call: CallContext, head: Towards, { address, port }: SocketPlace): string | undefined {
  const text = printAddress(address)
  const literal = socketKey({ host: text, address }, port)
  if (call.grants.match(head, literal) !== undefined) return literal
  if (special(address) !== undefined) return undefined
  for (const place of knownTo(call).names.get(text) ?? []) {
    const named = socketKey(place, port)
    if (call.grants.match(head, named) !== undefined) return named
  }
  return undefined
}

/** What the grants are asked for when this place of the machine is taken. */
export const localKey = ({ address, port }: SocketPlace): string => socketKey({ host: printAddress(address), address }, port)
