/** A handler with an end: what comes while it ends is told so, and what it has begun is answered. */
import type { Servable } from "../http/serve.ts"
import { whole } from "./handler.ts"

type Answer = (request: Request) => Promise<Response>

export interface ServableLimits {
  readonly headerBytesMax: number
  readonly bodyMs: number
  readonly requestBytesMax: number
}

const ending = (): Response =>
  new Response(JSON.stringify({ type: "about:blank", title: "The server ends", status: 503 }), {
    status: 503,
    headers: { "content-type": "application/problem+json", "cache-control": "no-store", "retry-after": "1", connection: "close" },
  })

export function servable(answer: Answer, { headerBytesMax, bodyMs, requestBytesMax }: ServableLimits): Servable {
  let running = 0
  let idle: (() => void) | undefined
  let isDraining = false
  return {
    limits: { headerBytesMax, bodyMs, bodyBytesMax: requestBytesMax, componentBytesMax: 0 },
    async fetch(request) {
      if (isDraining) return ending()
      running++
      const over = (): void => void (--running === 0 && idle?.())
      let response: Response
      try {
        response = await answer(request)
      } catch (error) {
        over()
        throw error
      }
      // It may be under way yet.
      void (whole(response) ?? Promise.resolve()).then(over)
      return response
    },
    drain(ms) {
      isDraining = true
      if (running === 0) return Promise.resolve(true)
      return new Promise((resolve) => {
        const timer = setTimeout(resolve, ms, false)
        idle = () => {
          clearTimeout(timer)
          resolve(true)
        }
      })
    },
  }
}
