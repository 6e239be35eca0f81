/**
 * A bundle's file: a tar (POSIX.1-1988 ustar) of plain files with names from a list, written in one pass and the same for the same content. Of what
 * tar allows, this is one spelling: whatever differs from it by a byte is refused, so that every byte of the file is under a digest, and any
 * program that reads tar reads it. Nothing is unpacked, and nothing is compressed.
 */
import { BillingError } from "../../schemas/error/billing.ts"

const { createHash } = process.getBuiltinModule("node:crypto")
const { open } = process.getBuiltinModule("node:fs/promises")

export const bundleLimits = {
  /** Bytes of the file. */
  fileBytesMax: 8 * 1024 ** 3,
  /** Bytes of one part: each is read whole. */
  partBytesMax: 128 << 20,
  partsMax: 100_000,
  /** Bytes of the list of parts. */
  manifestBytesMax: 32 << 20,
  /** Time that verifying may take, ms; one call of the rules has their own deadline beside it. */
  verifyMsMax: 3_600_000,
}
export type BundleLimits = typeof bundleLimits

export interface Part {
  readonly name: string
  readonly size: number
  /** In hexadecimal. */
  readonly sha256: string
}

export const manifestName = "manifest.json"
/** The last part: SHA-256 of all bytes before its header. */
const sealName = "sha256"
const names = /^(?:invoice\.json|catalogue|rules\.wasm|zones|ratings\.json|manifest\.json|sha256|(?:usage|records)\/\d{1,4}\/\d{6}\.jsonl?)$/
const block = 512
const endBlocks = 2
/** Bytes of a read. */
const readBytes = 1 << 20

const ascii = new TextEncoder()

/** The one header that a part of this name and size has. */
function headerOf(name: string, size: number): Uint8Array {
  const header = new Uint8Array(block)
  const put = (at: number, text: string): void => header.set(ascii.encode(text), at)
  put(0, name)
  put(100, "0000644\0")
  put(108, "0000000\0")
  put(116, "0000000\0")
  put(124, `${size.toString(8).padStart(11, "0")}\0`)
  put(136, "00000000000\0")
  // The sum is taken with blanks in its own place.
  put(148, "        ")
  put(156, "0")
  put(257, "ustar\x0000")
  put(
    148,
    `${header
      .reduce((sum, byte) => sum + byte, 0)
      .toString(8)
      .padStart(6, "0")}\0 `,
  )
  return header
}

const paddingOf = (size: number): number => (block - (size % block)) % block
const hex = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex")

/** Writes parts one after the other; holds none of them. */
export class BundleWriter {
  readonly #write: (bytes: Uint8Array) => Promise<void>
  readonly #all = createHash("sha256")
  readonly parts: Array<Part> = []

  constructor(write: (bytes: Uint8Array) => Promise<void>) {
    this.#write = write
  }

  async #put(bytes: Uint8Array): Promise<void> {
    this.#all.update(bytes)
    await this.#write(bytes)
  }

  async #file(name: string, bytes: Uint8Array): Promise<void> {
    await this.#put(headerOf(name, bytes.length))
    await this.#put(bytes)
    await this.#put(new Uint8Array(paddingOf(bytes.length)))
  }

  async part(name: string, content: Uint8Array | string): Promise<void> {
    const bytes = typeof content === "string" ? ascii.encode(content) : content
    this.parts.push({ name, size: bytes.length, sha256: hex(bytes) })
    await this.#file(name, bytes)
  }

  /** Closes the file with its manifest and its seal. @returns SHA-256 of all but the seal, in hexadecimal */
  async finish(about: object): Promise<string> {
    await this.#file(manifestName, ascii.encode(`${JSON.stringify({ ...about, parts: this.parts }, undefined, 1)}\n`))
    const seal = this.#all.copy().digest("hex")
    await this.#file(sealName, ascii.encode(`${seal}\n`))
    await this.#put(new Uint8Array(endBlocks * block))
    return seal
  }
}

export interface BundleFile extends AsyncDisposable {
  readonly file: string
  /** The seal: SHA-256 of all before it. */
  readonly seal: string
  /** In the file's order, without manifest and seal. */
  readonly parts: ReadonlyArray<Part>
  /** @throws BillingError `Bundle` where there is none of that name, or it has changed since it was opened */
  read(name: string): Promise<Uint8Array>
}

/**
 * Opens a bundle and reads all of it once: every byte is held against what it must be.
 * @throws BillingError `Bundle` for anything that is not as a bundle is written, `BundleLimit`
 */
export async function openBundle(file: string, limits: BundleLimits = bundleLimits): Promise<BundleFile> {
  const handle = await open(file, "r")
  try {
    const found = await indexed(file, (buffer, at) => fill(handle, buffer, at), (await handle.stat()).size, limits)
    const places = new Map(found.parts.map((part) => [part.name, part]))
    return {
      file,
      seal: found.seal,
      parts: found.parts.filter(({ name }) => name !== manifestName).map(({ name, sha256, size }) => ({ name, size, sha256 })),
      async read(name) {
        const part = places.get(name)
        if (part === undefined) throw new BillingError("Bundle", { file, part: name, detail: "it is not there" })
        const bytes = new Uint8Array(part.size)
        if ((await fill(handle, bytes, part.at)) !== part.size || hex(bytes) !== part.sha256)
          throw new BillingError("Bundle", { file, part: name, detail: "it has changed while it was read" })
        return bytes
      },
      [Symbol.asyncDispose]: () => handle.close(),
    }
  } catch (error) {
    await handle.close()
    throw error
  }
}

type Handle = Awaited<ReturnType<typeof open>>

async function fill(handle: Handle, into: Uint8Array, at: number): Promise<number> {
  let done = 0
  while (done < into.length) {
    const { bytesRead } = await handle.read(into, done, into.length - done, at + done)
    if (bytesRead === 0) break
    done += bytesRead
  }
  return done
}

type Placed = Part & { readonly at: number }

async function indexed(
  file: string,
  read: (into: Uint8Array, at: number) => Promise<number>,
  size: number,
  limits: BundleLimits,
): Promise<{ readonly parts: ReadonlyArray<Placed>; readonly seal: string }> {
  const refuse = (part: string, detail: string): never => {
    throw new BillingError("Bundle", { file, part, detail })
  }
  const bound = (what: string, limit: number, actual: number): void => {
    if (actual > limit) throw new BillingError("BundleLimit", { file, what, limit, actual })
  }
  bound("size in bytes", limits.fileBytesMax, size)
  if (size % block !== 0 || size < 4 * block) refuse("", "it is cut off, or no bundle")
  const all = createHash("sha256")
  const parts = new Map<string, Placed>()
  const header = new Uint8Array(block)
  const buffer = new Uint8Array(Math.min(readBytes, Math.max(block, size)))
  let at = 0
  for (;;) {
    if (at + block > size || (await read(header, at)) !== block) refuse("", "it ends before its seal")
    const { name, bytes } = fieldsOf(header)
    if (name === undefined || bytes === undefined || !names.test(name)) return refuse("", `what stands at byte ${at} is no part of a bundle`)
    if (parts.has(name)) refuse(name, "it is there twice")
    if (!isEqual(header, headerOf(name, bytes))) refuse(name, "its header is not as it is written")
    bound(
      name === manifestName ? "list of parts in bytes" : `part "${name}" in bytes`,
      name === manifestName ? limits.manifestBytesMax : limits.partBytesMax,
      bytes,
    )
    bound("number of parts", limits.partsMax, parts.size + 1)
    const begin = at + block
    const end = begin + bytes + paddingOf(bytes)
    if (end > size) refuse(name, "it is cut off")
    if (name === sealName) {
      const seal = all.digest("hex")
      const tail = new Uint8Array(size - begin)
      if (tail.length !== block * (1 + endBlocks) || (await read(tail, begin)) !== tail.length) refuse(name, "something stands behind it")
      const wanted = new Uint8Array(tail.length)
      wanted.set(ascii.encode(`${seal}\n`))
      if (bytes !== seal.length + 1 || !isEqual(tail, wanted)) refuse(name, "the file has another digest")
      return { parts: held(file, parts, refuse, await manifestOf(parts, read)), seal }
    }
    all.update(header)
    const own = createHash("sha256")
    for (let from = begin; from < end;) {
      const chunk = buffer.subarray(0, Math.min(buffer.length, end - from))
      if ((await read(chunk, from)) !== chunk.length) refuse(name, "it is cut off")
      all.update(chunk)
      const content = Math.max(0, Math.min(chunk.length, begin + bytes - from))
      own.update(chunk.subarray(0, content))
      if (chunk.subarray(content).some((byte) => byte !== 0)) refuse(name, "what fills its last block is not nothing")
      from += chunk.length
    }
    parts.set(name, { name, size: bytes, sha256: own.digest("hex"), at: begin })
    at = end
  }
}

async function manifestOf(parts: ReadonlyMap<string, Placed>, read: (into: Uint8Array, at: number) => Promise<number>): Promise<unknown> {
  const place = parts.get(manifestName)
  if (place === undefined) return undefined
  const bytes = new Uint8Array(place.size)
  await read(bytes, place.at)
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes))
  } catch {
    return undefined
  }
}

/** The parts, as the manifest lists them: no more, no fewer, in its order. */
function held(file: string, parts: ReadonlyMap<string, Placed>, refuse: (part: string, detail: string) => never, manifest: unknown): ReadonlyArray<Placed> {
  const listed = (manifest as { readonly parts?: unknown } | null | undefined)?.parts
  if (!Array.isArray(listed)) return refuse(manifestName, "it is not there, or no list of parts")
  const there = [...parts.values()].filter(({ name }) => name !== manifestName)
  for (const [i, part] of there.entries()) {
    const entry = listed[i] as Partial<Part> | null | undefined
    if (entry?.name !== part.name || entry.size !== part.size || entry.sha256 !== part.sha256)
      refuse(part.name, `it is not what the list of parts says: ${JSON.stringify(entry?.name ?? null).slice(0, 80)}`)
  }
  if (listed.length !== there.length) refuse(manifestName, `it lists ${listed.length} parts, and "${file}" has ${there.length}`)
  return [...parts.values()]
}

function fieldsOf(header: Uint8Array): { readonly name: string | undefined; readonly bytes: number | undefined } {
  const text = (from: number, to: number): string => String.fromCharCode(...header.subarray(from, to))
  const name = /^([\x21-\x7e]{1,100})\0*$/.exec(text(0, 100))?.[1]
  const octal = /^([0-7]{11})\0$/.exec(text(124, 136))?.[1]
  return { name, bytes: octal === undefined ? undefined : Number.parseInt(octal, 8) }
}

const isEqual = (a: Uint8Array, b: Uint8Array): boolean => a.length === b.length && a.every((byte, i) => byte === b[i])
