/** `wasi:http/types.fields`: headers and trailers, kept outside the guest's memory and counted. */
import { CapabilityError } from "../../../schemas/error/mod.ts"
import type { HttpField } from "../../port/mod.ts"
import type { CallContext } from "../capability.ts"
import { token } from "../http.ts"
import { hold } from "../io.ts"
import { done, err, ok, type Result } from "../serve.ts"

export type HeaderError = { readonly tag: "invalid-syntax" | "forbidden" | "immutable" }
const refused = (tag: HeaderError["tag"]) => err<HeaderError>({ tag })

/**
 * What a guest may not set: of one connection, or said by the host itself. RFC 9110 §7.6.1, RFC 9112 §6.1, RFC 7540
 * §3.2.1; the same names as wasmtime's.
 */
const forbidden: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "transfer-encoding",
  "upgrade",
  "host",
  "http2-settings",
  "expect",
  "trailer",
])

export const isForbiddenField = (name: string): boolean => forbidden.has(name)

// RFC 9110 §5.5: no control characters but the tab.
const isValue = (bytes: Uint8Array): boolean => bytes.every((byte) => (byte >= 0x20 && byte !== 0x7f) || byte === 9)

export const latin1 = (bytes: Uint8Array): string => {
  let text = ""
  for (const byte of bytes) text += String.fromCharCode(byte)
  return text
}
export const fromLatin1 = (text: string): Uint8Array => Uint8Array.from(text, (character) => character.charCodeAt(0))

/** RFC 9112 counts a colon, a space and a line's end with each. */
const sizeOf = (name: string, value: Uint8Array): number => name.length + value.length + 4

type Entry = readonly [name: string, value: Uint8Array]

/** Rep of `fields`. Names are kept in lower case, as they are compared. */
export class Fields {
  #entries: Array<Entry>
  #bytes = 0
  #held = 0
  isImmutable = false

  private constructor(entries: Array<Entry>) {
    this.#entries = entries
    for (const [name, value] of entries) this.#bytes += sizeOf(name, value)
  }

  /** Empty, to be filled by the guest. */
  static make(): Fields {
    return new Fields([])
  }

  /** What came from outside: not the guest's to change, and bounded by who read it. */
  static received(fields: ReadonlyArray<HttpField>): Fields {
    const made = new Fields(fields.map(([name, value]) => [name, fromLatin1(value)]))
    made.isImmutable = true
    return made
  }

  static fromList(call: CallContext, entries: ReadonlyArray<Entry>): Result<Fields, HeaderError> {
    const made = Fields.make()
    for (const [name, value] of entries) {
      const added = made.append(call, name, value)
      if (added.tag === "err") {
        made.drop(call)
        return added
      }
    }
    return ok(made)
  }

  /** The same headers under a handle of its own, which cannot change them. */
  view(): Fields {
    const view = new Fields(this.#entries)
    view.isImmutable = true
    return view
  }

  clone(call: CallContext): Fields {
    const copy = new Fields([...this.#entries])
    copy.#count(call)
    return copy
  }

  get(name: string): ReadonlyArray<Uint8Array> {
    const wanted = name.toLowerCase()
    return this.#entries.flatMap(([own, value]) => (own === wanted ? [value.slice()] : []))
  }

  has(name: string): boolean {
    const wanted = name.toLowerCase()
    return this.#entries.some(([own]) => own === wanted)
  }

  entries(): ReadonlyArray<Entry> {
    return this.#entries.map(([name, value]) => [name, value.slice()])
  }

  set(call: CallContext, name: string, values: ReadonlyArray<Uint8Array>): Result<undefined, HeaderError> {
    const checked = this.#check(name, values)
    if (checked !== undefined) return refused(checked)
    const own = name.toLowerCase()
    this.#replace(call, [...this.#entries.filter(([other]) => other !== own), ...values.map((value): Entry => [own, value.slice()])])
    return done
  }

  append(call: CallContext, name: string, value: Uint8Array): Result<undefined, HeaderError> {
    const checked = this.#check(name, [value])
    if (checked !== undefined) return refused(checked)
    this.#replace(call, [...this.#entries, [name.toLowerCase(), value.slice()]])
    return done
  }

  delete(call: CallContext, name: string): Result<undefined, HeaderError> {
    const checked = this.#check(name, [])
    if (checked !== undefined) return refused(checked)
    const own = name.toLowerCase()
    this.#replace(
      call,
      this.#entries.filter(([other]) => other !== own),
    )
    return done
  }

  /** As they are sent. */
  list(): ReadonlyArray<HttpField> {
    return this.#entries.map(([name, value]) => [name, latin1(value)])
  }

  drop(call: CallContext): void {
    hold(call, -this.#held)
    this.#held = 0
  }

  #check(name: string, values: ReadonlyArray<Uint8Array>): HeaderError["tag"] | undefined {
    if (this.isImmutable) return "immutable"
    if (!token.test(name) || !values.every(isValue)) return "invalid-syntax"
    return forbidden.has(name.toLowerCase()) ? "forbidden" : undefined
  }

  #replace(call: CallContext, entries: Array<Entry>): void {
    let bytes = 0
    for (const [name, value] of entries) bytes += sizeOf(name, value)
    const { headerBytesMax, headersMax } = call.ports.http.limits
    if (bytes > headerBytesMax)
      throw new CapabilityError("PortLimit", { port: "http", limit: "headerBytesMax", unit: "bytes", max: headerBytesMax, actual: bytes })
    if (entries.length > headersMax)
      throw new CapabilityError("PortLimit", { port: "http", limit: "headersMax", unit: "headers", max: headersMax, actual: entries.length })
    this.#entries = entries
    this.#bytes = bytes
    this.#count(call)
  }

  #count(call: CallContext): void {
    hold(call, this.#bytes - this.#held)
    this.#held = this.#bytes
  }
}
