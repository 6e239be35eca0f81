/**
 * Which IP addresses a plugin may reach by name: those that are global, so that a name never leads to the machine itself
 * or into its network. Decided on the bytes of the address, however it was written.
 *
 * Sources: IANA IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890 and updates), RFC 4291 §2.5.5 (mapped and
 * compatible), RFC 6052 §2.1 and RFC 8215 (NAT64), RFC 3056 (6to4), RFC 4380 (Teredo), RFC 9637 (documentation).
 */

/** 4 or 16 bytes. */
export type Address = Uint8Array

const decimal = /^(?:0|[1-9]\d{0,2})$/

function parseV4(text: string): Address | undefined {
  const parts = text.split(".")
  if (parts.length !== 4 || !parts.every((part) => decimal.test(part) && Number(part) < 256)) return undefined
  return Uint8Array.from(parts, Number)
}

function parseV6(text: string): Address | undefined {
  const halves = text.split("::")
  if (halves.length > 2) return undefined
  const groupsOf = (half: string): Array<number> | undefined => {
    if (half === "") return []
    const groups: Array<number> = []
    const parts = half.split(":")
    for (const [i, part] of parts.entries()) {
      const v4 = i === parts.length - 1 && part.includes(".") ? parseV4(part) : undefined
      if (v4 !== undefined) groups.push(((v4[0] as number) << 8) | (v4[1] as number), ((v4[2] as number) << 8) | (v4[3] as number))
      else if (/^[0-9a-f]{1,4}$/i.test(part)) groups.push(Number.parseInt(part, 16))
      else return undefined
    }
    return groups
  }
  const head = groupsOf(halves[0] as string)
  const tail = halves.length === 2 ? groupsOf(halves[1] as string) : []
  if (head === undefined || tail === undefined) return undefined
  const missing = 8 - head.length - tail.length
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined
  const address = new Uint8Array(16)
  for (const [i, group] of [...head, ...Array.from({ length: missing }, () => 0), ...tail].entries()) {
    address[2 * i] = group >> 8
    address[2 * i + 1] = group & 0xff
  }
  return address
}

/** An address as resolvers and URLs write it, without brackets; undefined for anything else, zone identifiers included. */
export const parseAddress = (text: string): Address | undefined => (text.includes(":") ? parseV6(text) : parseV4(text))

const groupOf = (address: Address, i: number): number => ((address[2 * i] as number) << 8) | (address[2 * i + 1] as number)

/** Dotted decimal, or RFC 5952's form of IPv6 as the URL standard writes it. */
export function printAddress(address: Address): string {
  if (address.length === 4) return address.join(".")
  const text = Array.from({ length: 8 }, (_, i) => groupOf(address, i).toString(16)).join(":")
  return new URL(`http://[${text}]/`).hostname.slice(1, -1)
}

/** Blocks of IPv4 that are not global, as first address and prefix length. */
const special4: ReadonlyArray<readonly [block: string, bits: number, kind: string]> = [
  ["0.0.0.0", 8, "unspecified"],
  ["10.0.0.0", 8, "private"],
  ["100.64.0.0", 10, "carrier NAT"],
  ["127.0.0.0", 8, "loopback"],
  // What a virtual machine of Azure reaches its platform by, alone among public addresses.
  ["168.63.129.16", 32, "link-local"],
  ["169.254.0.0", 16, "link-local"],
  ["172.16.0.0", 12, "private"],
  ["192.0.0.0", 24, "special-purpose"],
  ["192.0.2.0", 24, "documentation"],
  ["192.31.196.0", 24, "special-purpose"],
  ["192.52.193.0", 24, "special-purpose"],
  ["192.88.99.0", 24, "special-purpose"],
  ["192.168.0.0", 16, "private"],
  ["192.175.48.0", 24, "special-purpose"],
  ["198.18.0.0", 15, "benchmarking"],
  ["198.51.100.0", 24, "documentation"],
  ["203.0.113.0", 24, "documentation"],
  ["224.0.0.0", 4, "multicast"],
  // 255.255.255.255, broadcast, is among them.
  ["240.0.0.0", 4, "reserved or broadcast"],
]
/** Of IPv6, first what is named for its own sake, then what is not global unicast at all. */
const special6: ReadonlyArray<readonly [block: string, bits: number, kind: string]> = [
  ["::", 128, "unspecified"],
  ["::1", 128, "loopback"],
  ["::", 96, "IPv4-compatible"],
  ["64:ff9b:1::", 48, "local NAT64"],
  ["fc00::", 7, "unique-local"],
  ["fe80::", 10, "link-local"],
  ["fec0::", 10, "site-local"],
  ["ff00::", 8, "multicast"],
  ["2001::", 32, "Teredo"],
  ["2001::", 23, "special-purpose"],
  ["2001:db8::", 32, "documentation"],
  ["2002::", 16, "6to4"],
  ["2620:4f:8000::", 48, "special-purpose"],
  ["3fff::", 20, "documentation"],
]

const rules = (table: typeof special4) => table.map(([block, bits, kind]) => ({ block: parseAddress(block) as Address, bits, kind }))
const rules4 = rules(special4)
const rules6 = rules(special6)

function isIn(address: Address, block: Address, bits: number): boolean {
  const whole = bits >> 3
  for (let i = 0; i < whole; i++) if (address[i] !== block[i]) return false
  const rest = bits & 7
  return rest === 0 || (((address[whole] as number) ^ (block[whole] as number)) & (0xff << (8 - rest))) === 0
}

const mapped = parseAddress("::ffff:0:0") as Address
const nat64 = parseAddress("64:ff9b::") as Address

/** Why an address is not to be reached by name (`loopback`, `private`); undefined when it is global. */
export function special(address: Address): string | undefined {
  if (address.length === 4) return rules4.find(({ block, bits }) => isIn(address, block, bits))?.kind
  if (isIn(address, mapped, 96) || isIn(address, nat64, 96)) {
    const kind = special(address.subarray(12))
    return kind === undefined ? undefined : `${kind}, as ${isIn(address, mapped, 96) ? "IPv4-mapped" : "NAT64"}`
  }
  const kind = rules6.find(({ block, bits }) => isIn(address, block, bits))?.kind
  if (kind !== undefined) return kind
  // ISATAP (RFC 5214 §6.1) carries an IPv4 address in its last bytes.
  if ((groupOf(address, 4) & 0xfdff) === 0 && groupOf(address, 5) === 0x5efe) return "ISATAP"
  // 2000::/3 is what has been given out.
  return ((address[0] as number) & 0xe0) === 0x20 ? undefined : "not global unicast"
}
