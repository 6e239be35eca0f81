/**
 * The grammar that grants of sockets share:
 *
 *     HOST:PORT         a place elsewhere; HOST is a name, *.DOMAIN, * or an address; of an address PORT may be *
 *     ADDRESS:PORT      a place of this machine; PORT may be *, which covers one that the system chooses
 */
import { type Grant, refuse, type Scope } from "../scope.ts"
import { parseHost, type Place, reversed, socketKey } from "./target.ts"

const isPort = (text: string): boolean => /^[1-9]\d{0,4}$/.test(text) && Number(text) < 65_536

const granting =
  (head: string) =>
  (canonical: string, scope: Scope): Grant => ({ text: `${head}:${canonical}`, capability: head.slice(0, 3), head, scope })

/** What stands before the last colon, and after it. */
function split(given: string): readonly [host: string, port: string] {
  const at = given.lastIndexOf(":")
  return [given.slice(0, Math.max(at, 0)), given.slice(at + 1)]
}

/** The scope of one address at one port, or at every port. */
function addressGrant(head: string, place: Place, port: string): Grant {
  const shown = place.address?.length === 16 ? `[${place.host}]` : place.host
  const scope = port === "*" ? { text: `[${place.host}]:`, isPrefix: true } : { text: socketKey(place, Number(port)), isPrefix: false }
  return granting(head)(`${shown}:${port}`, scope)
}

/** A place that is connected or sent to. */
export function remoteGrant(text: string, head: string, given: string): Grant {
  const grant = granting(head)
  if (given === "*") return grant("*", { text: "tcp:", isPrefix: true })
  const [host, port] = split(given)
  const isAny = port === "*"
  if (host === "" || !(isAny || isPort(port))) return refuse(text, `write ${head}:HOST:PORT, such as db.example.com:5432`)
  const wild = host === "*" ? "*" : host.startsWith("*.") ? "*." : ""
  if (wild === "*") return isAny ? grant("*", { text: "tcp:", isPrefix: true }) : grant(`*:${port}`, { text: `tcp:${port}:`, isPrefix: true })
  const bare = host.slice(wild.length)
  const place = bare.includes("*") ? undefined : parseHost(bare)
  if (place === undefined) return refuse(text, `"${bare}" is no host`)
  if (place.address !== undefined) return wild === "" ? addressGrant(head, place, port) : refuse(text, "an address has no hosts below it")
  if (isAny) return refuse(text, "of a name the port is one number")
  const key = socketKey(place, Number(port))
  return grant(`${wild}${place.host}:${port}`, wild === "" ? { text: key, isPrefix: false } : { text: `tcp:${port}:${reversed(place.host)}.`, isPrefix: true })
}

/** A place of this machine that is listened on: an address, since a name says nothing about where others get in. */
export function localGrant(text: string, head: string, given: string): Grant {
  const [host, port] = split(given)
  const place = host === "" || host.includes("*") ? undefined : parseHost(host)
  if (place?.address === undefined || !(port === "*" || isPort(port)))
    return refuse(text, `write ${head}:ADDRESS:PORT, such as 127.0.0.1:8080; of every interface the address is 0.0.0.0 or [::]`)
  return addressGrant(head, place, port)
}
