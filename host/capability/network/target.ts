/**
 * Where a request or connection goes, as names that grants cover by prefix: what may be left open stands at the end.
 *
 *     https:443:com.example.api/v1/users?all      a URL: scheme, port, labels from the right, path and query
 *     [127.0.0.1]:http:8080/v1                    a URL of an address
 *     tcp:5432:com.example.db   [::1]:5432        a socket, of UDP as well
 *
 * Hosts are read by the URL parser, so what is judged is what is connected to: octal, hexadecimal and short addresses,
 * other scripts, percent-encoding, capitals and a last dot are gone before.
 */
import { type Address, parseAddress, printAddress } from "./address.ts"

export interface Target {
  /** Canonical, without a fragment. */
  readonly url: string
  readonly scheme: "http" | "https"
  /** Name, or address without brackets. */
  readonly host: string
  readonly port: number
  /** The host is written as this address. */
  readonly address: Address | undefined
  /** As the `host` header has it. */
  readonly authority: string
  readonly pathWithQuery: string
  /** What grants are asked for. */
  readonly key: string
}

/** Longest URL sent, UTF-16 code units. */
export const urlCharsMax = 8_192

export interface Place {
  readonly host: string
  readonly address: Address | undefined
}

/** A URL's host: a name without a last dot, or an address. Undefined when it has an empty label or is too long. */
export function placeOf(hostname: string): Place | undefined {
  const bare = hostname.startsWith("[") ? hostname.slice(1, -1) : hostname.replace(/\.$/, "")
  const address = parseAddress(bare)
  if (address !== undefined) return { host: printAddress(address), address }
  return bare === "" || bare.length > 253 || bare.split(".").includes("") ? undefined : { host: bare, address }
}

/** A host as a person or a guest writes it. */
export function parseHost(text: string): Place | undefined {
  const url = URL.parse(`http://${text.includes(":") && !text.startsWith("[") ? `[${text}]` : text}/`)
  return url === null || url.username !== "" || url.password !== "" || url.port !== "" || url.pathname !== "/" ? undefined : placeOf(url.hostname)
}

export const reversed = (host: string): string => host.split(".").toReversed().join(".")

/** Does some server read `..` out of this path that the URL parser did not? */
function climbs(path: string): boolean {
  let text = path
  for (let i = 0; i < 3; i++) text = text.replace(/%(2e|2f|5c|25)/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
  return /(?:^|[/\\])\.\.(?:$|[/\\;])/.test(text)
}

/** What comes before the path in a URL's key; the labels end open where a host is left open. */
export const originKey = (scheme: string, port: number | string, place: Place): string =>
  place.address === undefined ? `${scheme}:${port}:${reversed(place.host)}` : `[${place.host}]:${scheme}:${port}`

export const socketKey = ({ host, address }: Place, port: number): string => (address === undefined ? `tcp:${port}:${reversed(host)}` : `[${host}]:${port}`)

export const defaultPort = (scheme: string): number => (scheme === "https" ? 443 : 80)

/** A URL as a target; undefined when it is none of http or https, holds credentials, or is too long. */
export function targetOf(text: string): Target | undefined {
  if (text.length > urlCharsMax) return undefined
  const url = URL.parse(text)
  if (url === null || url.username !== "" || url.password !== "") return undefined
  const scheme = url.protocol === "https:" ? "https" : url.protocol === "http:" ? "http" : undefined
  const place = placeOf(url.hostname)
  if (scheme === undefined || place === undefined || url.href.length > urlCharsMax) return undefined
  const port = url.port === "" ? defaultPort(scheme) : Number(url.port)
  if (port === 0) return undefined
  const shown = place.address?.length === 16 ? `[${place.host}]` : place.host
  const authority = url.port === "" ? shown : `${shown}:${url.port}`
  const pathWithQuery = `${url.pathname}${url.search}`
  // A path that may climb is covered only where the whole host is.
  const key = `${originKey(scheme, port, place)}${climbs(url.pathname) ? "/" : pathWithQuery}`
  return { url: `${scheme}://${authority}${pathWithQuery}`, scheme, ...place, port, authority, pathWithQuery, key }
}
