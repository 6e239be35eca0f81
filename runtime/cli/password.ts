/** Pages behind a token, for browsers. */
import type { Servable } from "../http/serve.ts"

/** A browser asks for a name and a password, and sends no bearer token: the password is taken for one. */
function bearerOf(request: Request): Request {
  const [, basic] = /^Basic +([A-Za-z0-9+/=]+)$/i.exec(request.headers.get("authorization") ?? "") ?? []
  if (basic === undefined) return request
  const text = Buffer.from(basic, "base64").toString("utf8")
  const headers = new Headers(request.headers)
  headers.set("authorization", `Bearer ${text.slice(text.indexOf(":") + 1)}`)
  return new Request(request, { headers })
}

/** The same service, which asks a browser for a password. */
export const withPassword = (pages: Servable): Servable => ({
  limits: pages.limits,
  drain: (ms) => pages.drain(ms),
  async fetch(request, peer) {
    const answer = await pages.fetch(bearerOf(request), peer)
    if (answer.status !== 401) return answer
    const headers = new Headers(answer.headers)
    headers.set("www-authenticate", 'Basic realm="stele", charset="UTF-8"')
    return new Response(answer.body, { status: 401, headers })
  },
})
