/** Bodies, read within a number of bytes and a time, whatever the headers promise. */
import { HttpError } from "../../schemas/error/http.ts"

/** One timer for all who wait, since one for each costs more than most requests. A wait ends up to a tick late. */
export class Patience {
  readonly #waiting = new Set<{ readonly atMs: number; readonly end: () => void }>()
  #timer: NodeJS.Timeout | undefined

  /** `work`, or what `late` throws when it takes longer. */
  within<A>(ms: number, work: Promise<A>, late: () => Error): Promise<A> {
    return new Promise((resolve, reject) => {
      const wait = { atMs: performance.now() + ms, end: () => reject(late()) }
      this.#waiting.add(wait)
      this.#timer ??= setInterval(() => this.#look(), Math.max(5, Math.min(250, ms / 4)))
      // Nobody's process is kept by a request that may never come.
      this.#timer.unref()
      work.then(
        (value) => {
          this.#waiting.delete(wait)
          resolve(value)
        },
        (error: unknown) => {
          this.#waiting.delete(wait)
          reject(error)
        },
      )
    })
  }

  #look(): void {
    const nowMs = performance.now()
    for (const wait of this.#waiting) {
      if (wait.atMs > nowMs) continue
      this.#waiting.delete(wait)
      wait.end()
    }
    if (this.#waiting.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }
}

export interface BodyLimits {
  readonly bytesMax: number
  readonly ms: number
}

/** What a body is said to be; parameters but `charset` are no matter. */
function mediaTypeOf(header: string): string {
  const [type = "", ...parameters] = header.split(";").map((part) => part.trim().toLowerCase())
  const charset = parameters.map((part) => /^charset="?([^"]*)"?$/.exec(part)?.[1]).find((found) => found !== undefined)
  return charset === undefined || charset === "utf-8" || charset === "utf8" ? type : `${type}; charset=${charset}`
}

/** @throws HttpError `MediaType` unless the body is one of `wanted`, and not compressed */
export function checkMediaType(headers: Headers, wanted: ReadonlyArray<string>): void {
  const header = headers.get("content-type") ?? ""
  // Most send exactly this.
  if (header !== wanted[0] && !wanted.includes(mediaTypeOf(header)))
    throw new HttpError("MediaType", { found: header.slice(0, 200), wanted: wanted[0] as string })
  const encoding = headers.get("content-encoding")
  if (encoding !== null && encoding.toLowerCase() !== "identity")
    throw new HttpError("MediaType", { found: `${header.slice(0, 200)}, encoded as ${encoding.slice(0, 40)}`, wanted: wanted[0] as string })
}

/** @throws HttpError `BodyBytes`, `BodyTime`; `Malformed` when it ends early */
export async function readBody(request: Request, { bytesMax, ms }: BodyLimits, patience: Patience): Promise<Uint8Array> {
  const declared = request.headers.get("content-length")
  if (declared !== null && Number(declared) > bytesMax) throw new HttpError("BodyBytes", { limit: bytesMax })
  const late = (): Error => new HttpError("BodyTime", { limitMs: ms })
  try {
    // A parser of HTTP gives no more than was declared; what was not declared is counted as it comes.
    if (declared === null) return await patience.within(ms, readStream(request.body, bytesMax), late)
    const bytes = new Uint8Array(await patience.within(ms, request.arrayBuffer(), late))
    if (bytes.length > bytesMax) throw new HttpError("BodyBytes", { limit: bytesMax })
    return bytes
  } catch (error) {
    if (error instanceof HttpError) throw error
    throw new HttpError("Malformed", { detail: "the body ended before it was whole" }, { cause: error })
  }
}

async function readStream(body: ReadableStream<Uint8Array> | null, bytesMax: number): Promise<Uint8Array> {
  if (body === null) return new Uint8Array()
  const chunks: Array<Uint8Array> = []
  let length = 0
  for await (const chunk of body) {
    length += chunk.length
    // Leaving the loop cancels the stream.
    if (length > bytesMax) throw new HttpError("BodyBytes", { limit: bytesMax })
    chunks.push(chunk)
  }
  const bytes = new Uint8Array(length)
  let at = 0
  for (const chunk of chunks) {
    bytes.set(chunk, at)
    at += chunk.length
  }
  return bytes
}

const utf8 = new TextDecoder("utf-8", { fatal: true })

/** @throws HttpError `Body` */
export function parseJson(bytes: Uint8Array): unknown {
  let text: string
  try {
    text = utf8.decode(bytes)
  } catch (cause) {
    throw new HttpError("Body", { detail: "it is not UTF-8" }, { cause })
  }
  try {
    return JSON.parse(text) as unknown
  } catch (cause) {
    throw new HttpError("Body", { detail: text.trim() === "" ? "it is empty" : (cause as Error).message.slice(0, 200) }, { cause })
  }
}
