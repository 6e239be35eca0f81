// A guest of StarlingMonkey: `fetch` over wasi:http, and a fetch event for requests that come.
const errorText = (error) => `error ${error?.payload === undefined ? String(error) : JSON.stringify(error.payload)}`

export const guest = {
  async request(method, url, body) {
    try {
      const response = await fetch(url, { method, headers: { "x-question": "1" }, ...(body === undefined ? {} : { body }) })
      const names = [...response.headers].filter(([name]) => name.startsWith("x-")).map(([name, value]) => `${name}=${value}`)
      return `${response.status} ${names.join(",")} ${await response.text()}`
    } catch (error) {
      return errorText(error)
    }
  },
}

async function answer(request) {
  const { pathname } = new URL(request.url)
  if (pathname === "/throw") throw new Error("the guest's own mistake at /secret")
  if (pathname === "/loop") for (;;);
  if (pathname === "/echo") return new Response(request.body, { headers: { "x-from": "guest" } })
  const body = await request.text()
  if (pathname === "/long") return new Response("y".repeat(200_000))
  return new Response(`${request.method} ${pathname} ${body} ${request.headers.get("x-question")}`, {
    status: pathname === "/teapot" ? 418 : 200,
    headers: { "x-from": "guest", "content-type": "text/plain" },
  })
}
addEventListener("fetch", (event) => event.respondWith(answer(event.request)))
