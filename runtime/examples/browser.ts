/** A page that runs a plugin itself: no server sees what is typed. Bundled as any application, with `greeter.wasm` beside it. */
import { Host, SteleError } from "stele/host"

const host = await Host.open()
const bytes = await (await fetch("greeter.wasm")).arrayBuffer()
// The plugin may log and read prices, 200 ms at a time: nothing else of the page is within its reach.
const greeter = await host.load(bytes, { grants: ["log", "kv:read:prices/*"], limits: { deadlineMs: 200 } })

const form = document.querySelector("form") as HTMLFormElement
const output = document.querySelector("output") as HTMLOutputElement
form.addEventListener("submit", async (event) => {
  event.preventDefault()
  const { value: name } = form.elements.namedItem("name") as HTMLInputElement
  try {
    const { message } = (await greeter.call("acme:greeter/api#greet", [{ name }])) as { readonly message: string }
    output.textContent = message
  } catch (error) {
    if (!(error instanceof SteleError)) throw error
    output.textContent = `${error.code}: ${error.message}`
  }
})
output.textContent = "Ready"
