/**
 * HTTP: the grammar of its grants. What serves `wasi:http` is loaded when a plugin imports it.
 *
 *     http:METHOD:URL     http:METHOD:URL-PREFIX*     METHOD is one method, or * for the common ones
 *
 * A URL of an address is covered by a grant that names the address, and by no other. The host may be left open:
 * `*.example.com` is every name below a domain, `*` every name; the path then is all of it.
 */
import type { Capability } from "./capability.ts"
import { defaultPort, originKey, placeOf, reversed } from "./network/target.ts"
import { type Grant, isWithin, refuse, type Scope } from "./scope.ts"

/** Methods that `http:*` stands for. */
export const commonMethods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] as const

// RFC 9110 §5.6.2 `token`.
export const token = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}$/

/** Methods nobody is granted: one opens a tunnel through a proxy, the other sends credentials back (RFC 9110 §9.3.6, §9.3.8). */
export const isForbiddenMethod = (method: string): boolean => /^(?:connect|trace|track)$/i.test(method)

interface Pattern {
  readonly text: string
  readonly scope: Scope
}

function pattern(text: string, given: string): Pattern {
  if (given === "*") return { text: "*", scope: { text: "http", isPrefix: true } }
  const form = /^(https?):\/\/(\*\.|\*(?=[:/]|$))?([^/?#\\]*)([^]*)$/i.exec(given)
  if (form === null) return refuse(text, "its URL does not begin with http:// or https://")
  const [, scheme = "", wild = "", authority = "", rest = ""] = form
  if (rest === "" || rest === "/") return refuse(text, `write ${given.replace(/\/$/, "")}/* for everything on that host`)
  const star = rest.indexOf("*")
  if (star !== -1 && star !== rest.length - 1) return refuse(text, '"*" stands at the end, or as the first part of the host')
  const path = star === -1 ? rest : rest.slice(0, -1)
  // A wildcard of all hosts has no name of its own: any will do to read the port.
  const url = URL.parse(`${scheme}://${wild === "*" ? `any${authority}` : authority}${path}`)
  const place = url === null ? undefined : placeOf(url.hostname)
  if (url === null || place === undefined || authority.includes("*") || url.port === "0") return refuse(text, "it is not a URL with a host")
  if (url.username !== "" || url.password !== "") return refuse(text, "it holds credentials: a secret is granted by secret:NAME")
  if (url.hash !== "") return refuse(text, "it has a fragment, which is never sent")
  const { protocol } = url
  const kind = protocol.slice(0, -1)
  const port = url.port === "" ? defaultPort(kind) : Number(url.port)
  const shown = wild === "*" ? "*" : `${wild}${place.address?.length === 16 ? `[${place.host}]` : place.host}`
  const canonical = `${protocol}//${shown}${url.port === "" ? "" : `:${url.port}`}${url.pathname}${url.search}${star === -1 ? "" : "*"}`
  if (wild !== "") {
    if (place.address !== undefined) return refuse(text, "an address has no hosts below it")
    if (url.pathname !== "/" || url.search !== "" || star === -1) return refuse(text, "with a host left open the path is /*")
    return { text: canonical, scope: { text: `${kind}:${port}:${wild === "*" ? "" : `${reversed(place.host)}.`}`, isPrefix: true } }
  }
  if (star === -1 && url.pathname.endsWith("/") && url.search === "")
    return refuse(text, `"${given}" is one exact URL; write ${given}* for everything below it`)
  return { text: canonical, scope: { text: `${originKey(kind, port, place)}${url.pathname}${url.search}`, isPrefix: star !== -1 } }
}

function parse(text: string, parts: ReadonlyArray<string>): Grant {
  const [method = "", ...rest] = parts
  if (method !== "*" && (!token.test(method) || method !== method.toUpperCase() || isForbiddenMethod(method)))
    return refuse(text, `its method is "${method}"; write one in capitals, such as GET, or * for ${commonMethods.join(", ")}`)
  const { text: url, scope } = pattern(text, rest.join(":"))
  const head = `http:${method}`
  return {
    text: `${head}:${url}`,
    capability: "http",
    head,
    scope,
    ...(method === "*" ? { heads: commonMethods.map((one) => `http:${one}`) } : {}),
  }
}

const outgoing = "wasi:http/outgoing-handler"

export const http: Capability = {
  name: "http",
  risk: "The plugin sends requests to the URLs named, with whatever it knows in them, and reads the answers.",
  mode: "either",
  forms: ["http:METHOD:URL", "http:METHOD:URL-PREFIX*", "http:*:URL-PREFIX*"],
  isInert: false,
  parse,
  subset: isWithin,
  interfaces: [],
  later: { names: ["wasi:http/types", outgoing], load: async () => (await import("./http/mod.ts")).httpInterfaces },
  needs: () => "http:*:*",
  // Its types alone reach nothing.
  heads: (interfaceName) => (interfaceName === outgoing ? ["http"] : []),
  ports: ["http"],
}
