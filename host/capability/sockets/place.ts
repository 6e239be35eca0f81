/** Addresses of `wasi:sockets` and what their operations answer with. */
import { enumeration, primitive, record, tuple, variant } from "../../../schemas/wit/model.ts"
import type { NetworkError } from "../../../schemas/error/network.ts"
import type { SocketPlace } from "../../port/mod.ts"
import { IoError } from "../io.ts"
import { printAddress } from "../network/address.ts"

const { u8, u16, u32 } = primitive

// prettier-ignore
export const errorCode = enumeration(
  "unknown", "access-denied", "not-supported", "invalid-argument", "out-of-memory", "timeout", "concurrency-conflict", "not-in-progress",
  "would-block", "invalid-state", "new-socket-limit", "address-not-bindable", "address-in-use", "remote-unreachable", "connection-refused",
  "connection-reset", "connection-aborted", "datagram-too-large", "name-unresolvable", "temporary-resolver-failure", "permanent-resolver-failure",
)
export const family = enumeration("ipv4", "ipv6")
export type Family = "ipv4" | "ipv6"
export const ipv4Address = tuple(u8, u8, u8, u8)
export const ipv6Address = tuple(u16, u16, u16, u16, u16, u16, u16, u16)
export const ipAddress = variant({ ipv4: ipv4Address, ipv6: ipv6Address })
export const ipv4SocketAddress = record({ port: u16, address: ipv4Address })
export const ipv6SocketAddress = record({ port: u16, "flow-info": u32, address: ipv6Address, "scope-id": u32 })
export const ipSocketAddress = variant({ ipv4: ipv4SocketAddress, ipv6: ipv6SocketAddress })

export interface IpAddress {
  readonly tag: Family
  readonly val: ReadonlyArray<number>
}
export interface IpSocketAddress {
  readonly tag: Family
  readonly val: { readonly port: number; readonly address: ReadonlyArray<number>; readonly flowInfo?: number; readonly scopeId?: number }
}

export function bytesOf(tag: Family, parts: ReadonlyArray<number>): Uint8Array {
  if (tag === "ipv4") return Uint8Array.from(parts)
  return Uint8Array.from(parts.flatMap((part) => [part >> 8, part & 0xff]))
}

export const addressOf = (bytes: Uint8Array): IpAddress =>
  bytes.length === 4
    ? { tag: "ipv4", val: [...bytes] }
    : { tag: "ipv6", val: Array.from({ length: 8 }, (_, i) => ((bytes[2 * i] as number) << 8) | (bytes[2 * i + 1] as number)) }

/** A place as the guest is told it; of one family, whatever the engine calls it. */
export function socketAddressOf({ address, port }: SocketPlace, tag: Family): IpSocketAddress {
  const { val } = addressOf(tag === "ipv4" ? address.subarray(-4) : address)
  return tag === "ipv4" ? { tag, val: { port, address: val } } : { tag, val: { port, flowInfo: 0, address: val, scopeId: 0 } }
}

/** What of `error-code` a failure is. */
export function codeOf({ reason }: NetworkError): string {
  switch (reason._tag) {
    case "Prohibited":
      return "access-denied"
    case "Unresolved":
      return "name-unresolvable"
    case "Timeout":
      return "timeout"
    case "Unreachable":
      return reason.isRefused === true ? "connection-refused" : "remote-unreachable"
    case "Broken":
      return "connection-reset"
    case "Bind":
      return reason.kind === "in-use" ? "address-in-use" : reason.kind === "denied" ? "access-denied" : "address-not-bindable"
    default:
      return "unknown"
  }
}

export const ioError = (error: NetworkError): IoError => new IoError(codeOf(error))

/** A place as the port has it. */
export const placeOf = ({ tag, val }: IpSocketAddress): SocketPlace => ({ address: bytesOf(tag, val.address), port: val.port })

/** `::ffff:0:0/96`: sockets of IPv6 are of IPv6 alone. */
export const isMapped = (address: Uint8Array): boolean =>
  address.length === 16 && address.subarray(0, 10).every((byte) => byte === 0) && address[10] === 0xff && address[11] === 0xff

export const isUnspecified = (address: Uint8Array): boolean => address.every((byte) => byte === 0)

/** `127.0.0.1:80`, `[::1]:80`: as grants write it. */
export const shownPlace = ({ address, port }: SocketPlace): string => {
  const text = printAddress(address)
  return `${address.length === 16 ? `[${text}]` : text}:${port}`
}
