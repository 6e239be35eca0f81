/**
 * Sockets: the grammar of their grants. What serves `wasi:sockets` is loaded when a plugin imports it.
 *
 *     tcp:connect:HOST:PORT      HOST is a name, *.DOMAIN, * or an address; of an address PORT may be *
 *
 * A name may be looked up where a grant lets it be connected to on some port.
 */
import type { Capability } from "./capability.ts"
import { parseHost, reversed, tcpKey } from "./network/target.ts"
import { type Grant, isWithin, refuse, type Scope } from "./scope.ts"

const head = "tcp:connect"

function parse(text: string, parts: ReadonlyArray<string>): Grant {
  if (parts[0] !== "connect") return refuse(text, `its action is "${parts[0] ?? ""}"; "tcp" has connect`)
  const given = parts.slice(1).join(":")
  const grant = (canonical: string, scope: Scope): Grant => ({ text: `${head}:${canonical}`, capability: "tcp", head, scope })
  if (given === "*") return grant("*", { text: "tcp:", isPrefix: true })
  const at = given.lastIndexOf(":")
  const [host, port] = [given.slice(0, Math.max(at, 0)), given.slice(at + 1)]
  const isAny = port === "*"
  if (host === "" || !(isAny || (/^[1-9]\d{0,4}$/.test(port) && Number(port) < 65_536)))
    return refuse(text, `write ${head}:HOST:PORT, such as db.example.com:5432`)
  const wild = host === "*" ? "*" : host.startsWith("*.") ? "*." : ""
  if (wild === "*") return isAny ? grant("*", { text: "tcp:", isPrefix: true }) : grant(`*:${port}`, { text: `tcp:${port}:`, isPrefix: true })
  const bare = host.slice(wild.length)
  const place = bare.includes("*") ? undefined : parseHost(bare)
  if (place === undefined) return refuse(text, `"${bare}" is no host`)
  if (place.address !== undefined) {
    if (wild !== "") return refuse(text, "an address has no hosts below it")
    const shown = place.address.length === 16 ? `[${place.host}]` : place.host
    return grant(`${shown}:${port}`, isAny ? { text: `[${place.host}]:`, isPrefix: true } : { text: tcpKey(place, Number(port)), isPrefix: false })
  }
  if (isAny) return refuse(text, "of a name the port is one number")
  const key = tcpKey(place, Number(port))
  return grant(`${wild}${place.host}:${port}`, wild === "" ? { text: key, isPrefix: false } : { text: `tcp:${port}:${reversed(place.host)}.`, isPrefix: true })
}

export const socket: Capability = {
  name: "tcp",
  risk: "The plugin opens connections to the hosts and ports named, sends what it likes and reads what comes.",
  mode: "either",
  forms: ["tcp:connect:HOST:PORT"],
  isInert: false,
  parse,
  subset: isWithin,
  isInertUngranted: true,
  interfaces: [],
  later: {
    names: ["network", "instance-network", "ip-name-lookup", "tcp", "tcp-create-socket", "udp", "udp-create-socket"].map((name) => `wasi:sockets/${name}`),
    load: async () => (await import("./sockets/mod.ts")).socketInterfaces,
  },
  needs: () => "tcp:connect:*",
  heads: () => ["tcp"],
  ports: ["socket"],
}
