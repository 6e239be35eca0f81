// Makes each request that it is given, blocked on the network's thread as a guest would be, and prints what came.
import { sendWhole } from "../../host/capability/http/request.ts"
import type { HttpLimits } from "../../host/port/mod.ts"
import { type Network, openNetwork } from "../../runtime/network/network.ts"
import type { NetworkOptions } from "../../runtime/network/options.ts"
import { SteleError } from "../../schemas/error/mod.ts"
import { testCall } from "../host/capability-call.ts"

export interface Case {
  readonly name: string
  readonly url: string
  readonly method?: string
  readonly bodyBytes?: number
  readonly grants: ReadonlyArray<string>
  readonly limits?: Partial<HttpLimits>
  readonly network?: NetworkOptions
  readonly follows?: boolean
}
export interface Outcome {
  readonly answer: string
  readonly ms: number
  readonly detail: string
}

const cases = JSON.parse(process.argv[2] ?? "[]") as ReadonlyArray<Case>
const outcomes: Record<string, Outcome> = {}
/** A thread for all that are asked for alike. */
const networks = new Map<string, Network>()
const networkOf = (options: NetworkOptions): Network => {
  const key = JSON.stringify(options)
  const open = networks.get(key) ?? openNetwork(options)
  networks.set(key, open)
  return open
}
for (const { name, url, method = "GET", bodyBytes = 0, grants, limits = {}, network = {}, follows = true } of cases) {
  const call = testCall(grants, { http: networkOf(network).http })
  call.remaining = 20_000
  const startedMs = performance.now()
  let answer: string
  let detail = ""
  try {
    const { status, body, headers } = sendWhole(call, { method, url, headers: [], body: new Uint8Array(bodyBytes) }, { import: "test", limits, follows })
    answer = `${status}`
    detail = body.length < 200 ? new TextDecoder().decode(body) : `${body.length} bytes`
    if (headers.some(([field]) => field === "content-encoding")) detail += " still coded"
  } catch (error) {
    answer = error instanceof SteleError ? error.code : String(error)
    detail = error instanceof SteleError ? error.message : String((error as Error).stack)
  }
  outcomes[name] = { answer, ms: performance.now() - startedMs, detail }
}
for (const open of networks.values()) await open.close()
console.log(JSON.stringify(outcomes))
