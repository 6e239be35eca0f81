/**
 * All zones of one release of the IANA time zone database in one run of bytes, whose SHA-256 names it: what a day was on an invoice can be
 * computed from it years later. Offsets alone: no abbreviations, and nobody's word for what is daylight saving.
 */

/** The offsets of one place, as the billing rules take them. */
export interface ZoneOffsets {
  /** Seconds east of UTC before the first change. */
  readonly first: number
  /** Seconds since 1970 at which the offset becomes that of the same place in `offsets`; rising. */
  readonly changes: ReadonlyArray<number>
  readonly offsets: ReadonlyArray<number>
}

export interface ZoneTable {
  /** Of the IANA database, such as `2026f`. */
  readonly release: string
  /** SHA-256 of the source that it was compiled from, in hexadecimal. */
  readonly source: string
  /** Seconds since 1970 from which on offsets are those of the database; before, they are those of this instant. */
  readonly from: number
  /** Seconds since 1970 up to which changes are in it; after, offsets stay as they were. */
  readonly until: number
  /** In the order of their UTF-16 code units, links among them. */
  readonly names: ReadonlyArray<string>
  /** Undefined where the release has no such name. Spelling counts, as in the database. */
  readonly zone: (name: string) => ZoneOffsets | undefined
}

/** What the bytes begin with: a format's name, for whoever finds them. */
const magic = "stele zones 1"

const utf8 = new TextEncoder()
const decoder = new TextDecoder("utf-8", { fatal: true })

class Writer {
  readonly #bytes: Array<number> = []

  /** A whole number ≥ 0 in LEB128. */
  number(value: number): void {
    let rest = value
    for (; rest > 127; rest = Math.floor(rest / 128)) this.#bytes.push((rest % 128) | 128)
    this.#bytes.push(rest)
  }
  /** One that may be negative: zigzag. */
  signed(value: number): void {
    this.number(value < 0 ? -2 * value - 1 : 2 * value)
  }
  bytes(bytes: Uint8Array): void {
    this.number(bytes.length)
    for (const byte of bytes) this.#bytes.push(byte)
  }
  text(text: string): void {
    this.bytes(utf8.encode(text))
  }
  take(): Uint8Array<ArrayBuffer> {
    return Uint8Array.from(this.#bytes)
  }
}

class Reader {
  readonly #bytes: Uint8Array
  #at = 0
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }
  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length
  }
  number(): number {
    let value = 0
    for (let unit = 1; unit <= 2 ** 49; unit *= 128) {
      const byte = this.#bytes[this.#at++]
      if (byte === undefined) throw new RangeError("Cannot read a table of zones: it ends too early")
      value += (byte & 127) * unit
      if (byte < 128) return value
    }
    throw new RangeError("Cannot read a table of zones: a number is too large")
  }
  signed(): number {
    const value = this.number()
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2
  }
  /** How many of something follow, each of a byte at least: no count makes this allocate more than was given. */
  count(): number {
    const count = this.number()
    if (count > this.#bytes.length - this.#at) throw new RangeError("Cannot read a table of zones: it ends too early")
    return count
  }
  bytes(): Uint8Array {
    const length = this.count()
    this.#at += length
    return this.#bytes.subarray(this.#at - length, this.#at)
  }
  text(): string {
    try {
      return decoder.decode(this.bytes())
    } catch (error) {
      if (error instanceof RangeError) throw error
      throw new RangeError("Cannot read a table of zones: a name is no UTF-8", { cause: error })
    }
  }
}

const byCodeUnits = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)
const hex = (bytes: Uint8Array): string => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")

/**
 * The table as bytes: equal tables are equal bytes. A step is the seconds from one change to the next with what the offset changes by. Half a year
 * of daylight saving is the same step in many zones and years, so steps are listed once, the most used first, where one byte names them.
 */
export function packZones(
  { release, source, from, until }: Omit<ZoneTable, "names" | "zone">,
  zones: ReadonlyMap<string, ZoneOffsets>,
): Uint8Array<ArrayBuffer> {
  const steps = new Map<string, { readonly step: readonly [seconds: number, offset: number]; count: number }>()
  const stepsOf = ({ first, changes, offsets }: ZoneOffsets): ReadonlyArray<string> =>
    changes.map((change, i) => {
      const step = [change - (changes[i - 1] ?? from), (offsets[i] as number) - (offsets[i - 1] ?? first)] as const
      return step.join(" ")
    })
  const bodies = new Map<string, ZoneOffsets>()
  const bodyOf = (zone: ZoneOffsets): string => `${zone.first}:${stepsOf(zone).join()}`
  const names = [...zones.keys()].toSorted(byCodeUnits)
  for (const name of names) {
    const zone = zones.get(name) as ZoneOffsets
    if (bodies.has(bodyOf(zone))) continue
    bodies.set(bodyOf(zone), zone)
    for (const key of stepsOf(zone)) {
      const [seconds, offset] = key.split(" ").map(Number) as [number, number]
      const found = steps.get(key)
      if (found === undefined) steps.set(key, { step: [seconds, offset], count: 1 })
      else found.count += 1
    }
  }
  const ranked = [...steps].toSorted(([a, { count: manyA }], [b, { count: manyB }]) => manyB - manyA || byCodeUnits(a, b))
  const rank = new Map(ranked.map(([key], i) => [key, i]))
  const place = new Map([...bodies.keys()].map((key, i) => [key, i]))
  const out = new Writer()
  out.text(magic)
  out.text(release)
  out.bytes(Uint8Array.from(source.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16)))
  out.signed(from)
  out.signed(until)
  out.number(ranked.length)
  for (const [, { step }] of ranked) {
    out.number(step[0])
    out.signed(step[1])
  }
  out.number(bodies.size)
  for (const zone of bodies.values()) {
    const body = new Writer()
    body.signed(zone.first)
    for (const key of stepsOf(zone)) body.number(rank.get(key) as number)
    out.bytes(body.take())
  }
  out.number(names.length)
  for (const name of names) {
    out.text(name)
    out.number(place.get(bodyOf(zones.get(name) as ZoneOffsets)) as number)
  }
  return out.take()
}

/**
 * What `packZones` packed. A zone is decoded when it is asked for.
 * @throws RangeError when the bytes are no such table
 */
export function unpackZones(bytes: Uint8Array): ZoneTable {
  const reader = new Reader(bytes)
  if (reader.text() !== magic) throw new RangeError("Cannot read a table of zones: it begins with something else")
  const release = reader.text()
  const source = hex(reader.bytes())
  const from = reader.signed()
  const until = reader.signed()
  const steps = Array.from({ length: reader.count() }, () => [reader.number(), reader.signed()] as const)
  const bodies = Array.from({ length: reader.count() }, () => reader.bytes())
  const places = new Map(Array.from({ length: reader.count() }, () => [reader.text(), reader.number()] as const))
  if (!reader.isAtEnd) throw new RangeError("Cannot read a table of zones: it goes on after its end")
  const zone = (name: string): ZoneOffsets | undefined => {
    const place = places.get(name)
    if (place === undefined) return undefined
    const body = new Reader(bodies[place] ?? new Uint8Array(0))
    const first = body.signed()
    const changes: Array<number> = []
    const offsets: Array<number> = []
    for (let at = from, offset = first; !body.isAtEnd;) {
      const step = steps[body.number()]
      if (step === undefined) throw new RangeError(`Cannot read a table of zones: a step of "${name}" is not in it`)
      changes.push((at += step[0]))
      offsets.push((offset += step[1]))
    }
    return { first, changes, offsets }
  }
  return { release, source, from, until, names: [...places.keys()], zone }
}
