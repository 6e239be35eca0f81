/** Reading over the web, and the typed errors of all reading. Shared by every platform. */
import { LimitError, PluginError, SteleError } from "../../schemas/error/mod.ts"

export const notFound = (source: string, cause: unknown): PluginError => new PluginError("NotFound", { source }, { cause })

export const overSize = (bytesMax: number, actual?: number): LimitError => new LimitError("componentBytesMax", { limit: bytesMax, actual })

/** A failure of reading as a typed error; those that already are stay as they are. */
export const unreadable = (source: string, cause: unknown): SteleError =>
  cause instanceof SteleError ? cause : new PluginError("Unreadable", { source, detail: cause instanceof Error ? cause.message : String(cause) }, { cause })

/** The URL that a source is, or undefined when it is a path. One letter before a colon is a Windows drive. */
export function webAddress(source: string | URL): URL | undefined {
  if (typeof source !== "string") return source
  return /^[a-z][a-z0-9+.-]+:/i.test(source) && URL.canParse(source) ? new URL(source) : undefined
}

/** A stalled server must not hold a load for ever; the host's `loadMs` is usually shorter. */
const fetchMsMax = 30_000

/** Fetches a URL whole, up to `bytesMax` bytes after decompression; the declared length is only believed when it is too long. */
export async function fetchBytes(address: URL, bytesMax: number): Promise<Uint8Array> {
  const source = address.href
  if (!/^(https?|blob|data):$/.test(address.protocol)) throw unreadable(source, `the scheme "${address.protocol}" is not one of file, http, https, blob, data`)
  try {
    const response = await fetch(address, { signal: AbortSignal.timeout(fetchMsMax) })
    if (!response.ok) {
      await response.body?.cancel()
      throw response.status === 404 || response.status === 410 ? notFound(source, undefined) : unreadable(source, `the server answered ${response.status}`)
    }
    const declared = Number(response.headers.get("content-length") ?? 0)
    if (declared > bytesMax) {
      await response.body?.cancel()
      throw overSize(bytesMax, declared)
    }
    const chunks: Array<Uint8Array> = []
    let length = 0
    const reader = response.body?.getReader()
    for (let part = await reader?.read(); part !== undefined && !part.done; part = await reader?.read()) {
      length += part.value.length
      if (length > bytesMax) {
        await reader?.cancel()
        throw overSize(bytesMax)
      }
      chunks.push(part.value)
    }
    const bytes = new Uint8Array(length)
    let at = 0
    for (const chunk of chunks) {
      bytes.set(chunk, at)
      at += chunk.length
    }
    return bytes
  } catch (error) {
    throw unreadable(source, error)
  }
}
