/**
 * Rows as they are kept, read where their bytes lie: no object is made of a row, and a million of them take a tenth of the time that reading them as records
 * does. What they add up to by plugin, export and outcome; and their columns.
 */
import type { UsageColumns, UsageKind, UsagePart } from "../port/usage.ts"
import { release } from "./release.ts"
import { Sum } from "./usage.ts"

/** CRC-32 as zlib has it, a byte at a time: a call to the platform's costs more than a row has bytes. */
const crcTable = Int32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte
  for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 0 ? crc >>> 1 : (crc >>> 1) ^ 0xedb88320
  return crc
})
function crcOver(bytes: Uint8Array, from: number, to: number, start: number): number {
  let crc = start
  for (let at = from; at < to; at++) crc = (crcTable[(crc ^ (bytes[at] as number)) & 255] as number) ^ (crc >>> 8)
  return crc
}

const idBytes = 16
/** Hexadecimal digits of a row's sum behind it. */
export const sumDigits = 8
/** Numbers of names below this have a key that is a number. */
const smallNames = 1 << 17

const product = (a: number, b: number): number | bigint => {
  const found = a * b
  return found <= Number.MAX_SAFE_INTEGER ? found : BigInt(a) * BigInt(b)
}

/** Reads row after row; what one has lies in its fields until the next. */
abstract class Rows {
  readonly #tenant: Uint8Array
  /** The sum's state over what stands before a row's id, by the payload's length. */
  readonly #starts: Array<number | undefined> = []
  #bytes: Uint8Array = new Uint8Array(0)
  #at = 0
  /** Where the row begins. */
  protected start = 0
  protected plugin = 0
  protected name = 0
  protected outcome = 0
  protected wallNs = 0
  /** One more than was counted; 0 where none was. */
  protected fuel: number | bigint = 0
  protected memory = 0
  protected bytesIn = 0
  protected bytesOut = 0
  protected dropped = 0
  protected hostCalls: number | bigint = 0

  constructor(tenant: Uint8Array) {
    this.#tenant = tenant
  }

  #start(length: number): number {
    let start = this.#starts[length]
    if (start === undefined) {
      // As `sumOfParts` writes it: lengths of tenant, id and payload, a number that is 0, the tenant.
      const head = new Uint8Array(20 + this.#tenant.length)
      const view = new DataView(head.buffer)
      view.setUint32(0, this.#tenant.length, true)
      view.setUint32(4, idBytes, true)
      view.setUint32(8, length, true)
      head.set(this.#tenant, 20)
      start = crcOver(head, 0, head.length, -1)
      if (length < 4_096) this.#starts[length] = start
    }
    return start
  }

  #byte(): number {
    const byte = this.#bytes[this.#at++]
    if (byte === undefined) throw new RangeError("It ends too early")
    return byte
  }
  /** As `Unpacker.value`. */
  #value(): number | bigint {
    const start = this.#at
    let value = this.#byte()
    if (value < 128) return value
    value &= 127
    for (let unit = 128; unit < 2 ** 49; unit *= 128) {
      const byte = this.#byte()
      value += (byte & 127) * unit
      if (byte < 128) return value
    }
    this.#at = start
    let large = 0n
    for (let shift = 0n; shift < 140n; shift += 7n) {
      const byte = this.#byte()
      large |= BigInt(byte & 127) << shift
      if (byte < 128) return large > BigInt(Number.MAX_SAFE_INTEGER) ? large : Number(large)
    }
    throw new RangeError("A number is too large")
  }
  #number(): number {
    const value = this.#value()
    if (typeof value === "bigint") throw new RangeError(`${value} is too large`)
    return value
  }

  /**
   * Adds rows that stand one behind the other: id, payload, and the row's sum in hexadecimal.
   * @returns the place of the row whose sum differs or that is none; undefined when all are as they were written
   */
  add(rows: Uint8Array, count: number): number | undefined {
    this.#bytes = rows
    this.#at = 0
    try {
      for (let left = count; left > 0; left--) {
        this.start = this.#at
        if (!this.#row()) return this.start
        this.take(rows)
      }
      return this.#at === rows.length ? undefined : this.start
    } catch (error) {
      if (error instanceof RangeError) return this.start
      throw error
    }
  }

  /** What becomes of the row in the fields. */
  protected abstract take(rows: Uint8Array): void

  #row(): boolean {
    const { start } = this
    this.#at += idBytes
    this.plugin = this.#number()
    this.name = this.#number()
    this.outcome = this.#number()
    this.wallNs = this.#number()
    this.fuel = this.#value()
    this.memory = this.#number()
    this.bytesIn = this.#number()
    this.bytesOut = this.#number()
    this.dropped = this.#number()
    let hostCalls: number | bigint = 0
    for (let grants = this.#number(); grants > 0; grants--) {
      this.#number()
      const calls = this.#value()
      hostCalls =
        typeof hostCalls === "number" && typeof calls === "number" && hostCalls + calls <= Number.MAX_SAFE_INTEGER
          ? hostCalls + calls
          : BigInt(hostCalls) + BigInt(calls)
    }
    this.hostCalls = hostCalls
    const end = this.#at
    const crc = ~crcOver(this.#bytes, start, end, this.#start(end - start - idBytes))
    let sum = 0
    for (let digit = 0; digit < sumDigits; digit++) {
      const code = this.#byte()
      sum = (sum << 4) | (code < 58 ? code - 48 : code - 87)
    }
    return sum === crc
  }
}

function keyOf(plugin: number, name: number, outcome: number): number | string {
  const isSmall = plugin < smallNames && name < smallNames && outcome < smallNames
  return isSmall ? (plugin * smallNames + name) * smallNames + outcome : `${plugin} ${name} ${outcome}`
}

interface Kind {
  readonly plugin: number
  readonly name: number
  readonly outcome: number
  readonly calls: Sum
  readonly dropped: Sum
  readonly wallNs: Sum
  readonly fuel: Sum
  readonly byteNs: Sum
  readonly bytesIn: Sum
  readonly bytesOut: Sum
  readonly hostCalls: Sum
}

export class UsageKinds extends Rows {
  readonly #kinds = new Map<number | string, Kind>()

  #kind(plugin: number, name: number, outcome: number): Kind {
    const key = keyOf(plugin, name, outcome)
    let kind = this.#kinds.get(key)
    if (kind === undefined) {
      kind = {
        plugin,
        name,
        outcome,
        calls: new Sum(),
        dropped: new Sum(),
        wallNs: new Sum(),
        fuel: new Sum(),
        byteNs: new Sum(),
        bytesIn: new Sum(),
        bytesOut: new Sum(),
        hostCalls: new Sum(),
      }
      this.#kinds.set(key, kind)
    }
    return kind
  }

  protected take(): void {
    const { bytesIn, bytesOut, dropped, fuel, hostCalls, memory, wallNs } = this
    const kind = this.#kind(this.plugin, this.name, this.outcome)
    if (dropped > 0) {
      kind.dropped.add(dropped)
      return
    }
    kind.calls.add(1)
    kind.wallNs.add(wallNs)
    kind.fuel.add(typeof fuel === "number" ? Math.max(0, fuel - 1) : fuel - 1n)
    kind.byteNs.add(product(wallNs, memory))
    kind.bytesIn.add(bytesIn)
    kind.bytesOut.add(bytesOut)
    kind.hostCalls.add(hostCalls)
  }

  /** What was added; `nameOf` gives a name by its number in the store. */
  part(nameOf: (id: number) => string, last: Uint8Array | undefined): UsagePart {
    const kinds = Array.from(this.#kinds.values(), ({ plugin, name, outcome, ...sums }): UsageKind => ({
      plugin: nameOf(plugin),
      export: nameOf(name),
      outcome: nameOf(outcome),
      calls: sums.calls.value,
      dropped: sums.dropped.value,
      wallNs: sums.wallNs.value,
      fuel: sums.fuel.value,
      byteNs: sums.byteNs.value,
      bytesIn: sums.bytesIn.value,
      bytesOut: sums.bytesOut.value,
      hostCalls: sums.hostCalls.value,
    }))
    const key = ({ plugin, export: name, outcome }: UsageKind): string => `${plugin}\n${name}\n${outcome}`
    return { kinds: kinds.toSorted((a, b) => (key(a) < key(b) ? -1 : 1)), last }
  }
}

type SixColumns = readonly [Float64Array, Float64Array, Float64Array, Float64Array, Float64Array, Float64Array]
const none = new Float64Array(0)

function into<A extends ArrayBufferView & { set(from: A): void }>(wider: A, from: A): A {
  wider.set(from)
  release(from)
  return wider
}

/** Rows as columns. */
export class UsageRows extends Rows {
  readonly #places = new Map<number | string, number>()
  readonly #kinds: Array<readonly [plugin: number, name: number, outcome: number]> = []
  #count = 0
  #capacity = 0
  #kind = new Uint32Array(0)
  #ids = new Uint8Array(0)
  #fuel = new Uint32Array(0)
  /** dropped, wallNs, memoryPeakBytes, bytesIn, bytesOut, hostCalls. */
  #numbers: SixColumns = [none, none, none, none, none, none]

  #grow(): void {
    this.#capacity = Math.max(1_024, 2 * this.#capacity)
    this.#kind = into(new Uint32Array(this.#capacity), this.#kind)
    this.#ids = into(new Uint8Array(idBytes * this.#capacity), this.#ids)
    this.#fuel = into(new Uint32Array(2 * this.#capacity), this.#fuel)
    const [a, b, c, d, e, f] = this.#numbers
    const wider = (column: Float64Array): Float64Array => into(new Float64Array(this.#capacity), column)
    this.#numbers = [wider(a), wider(b), wider(c), wider(d), wider(e), wider(f)]
  }

  #place(): number {
    const key = keyOf(this.plugin, this.name, this.outcome)
    let place = this.#places.get(key)
    if (place === undefined) this.#places.set(key, (place = this.#kinds.push([this.plugin, this.name, this.outcome]) - 1))
    return place
  }

  protected take(rows: Uint8Array): void {
    if (this.#count === this.#capacity) this.#grow()
    const at = this.#count++
    this.#kind[at] = this.#place()
    for (let byte = 0; byte < idBytes; byte++) this.#ids[at * idBytes + byte] = rows[this.start + byte] as number
    const [dropped, wallNs, memory, bytesIn, bytesOut, hostCalls] = this.#numbers
    dropped[at] = this.dropped
    // What stands for dropped records has used nothing that is known.
    if (this.dropped > 0) return
    wallNs[at] = this.wallNs
    memory[at] = this.memory
    bytesIn[at] = this.bytesIn
    bytesOut[at] = this.bytesOut
    hostCalls[at] = Number(this.hostCalls)
    if (typeof this.fuel === "bigint") {
      this.#fuel[2 * at] = Number((this.fuel - 1n) & 0xffff_ffffn)
      this.#fuel[2 * at + 1] = Number((this.fuel - 1n) >> 32n)
    } else if (this.fuel > 0) {
      this.#fuel[2 * at] = (this.fuel - 1) >>> 0
      this.#fuel[2 * at + 1] = Math.floor((this.fuel - 1) / 2 ** 32)
    }
  }

  /** What was added; `nameOf` gives a name by its number in the store. */
  columns(nameOf: (id: number) => string, last: Uint8Array | undefined): UsageColumns {
    const count = this.#count
    const [dropped, wallNs, memoryPeakBytes, bytesIn, bytesOut, hostCalls] = this.#numbers
    const cut = (column: Float64Array): Float64Array => column.subarray(0, count)
    return {
      kinds: this.#kinds.map(([plugin, name, outcome]) => ({ plugin: nameOf(plugin), export: nameOf(name), outcome: nameOf(outcome) })),
      kind: this.#kind.subarray(0, count),
      ids: this.#ids.subarray(0, idBytes * count),
      dropped: cut(dropped),
      wallNs: cut(wallNs),
      memoryPeakBytes: cut(memoryPeakBytes),
      bytesIn: cut(bytesIn),
      bytesOut: cut(bytesOut),
      hostCalls: cut(hostCalls),
      fuel: new BigUint64Array(this.#fuel.buffer, 0, count),
      last,
    }
  }
}

/** A row as `UsageKinds.add` takes it. */
export function rowBytes(id: Uint8Array, payload: Uint8Array, sum: number): Uint8Array {
  const row = new Uint8Array(id.length + payload.length + sumDigits)
  row.set(id)
  row.set(payload, id.length)
  const digits = sum.toString(16).padStart(sumDigits, "0")
  for (let at = 0; at < sumDigits; at++) row[id.length + payload.length + at] = digits.charCodeAt(at)
  return row
}
