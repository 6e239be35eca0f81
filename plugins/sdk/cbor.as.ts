/**
 * CBOR (RFC 8949): bytes → a tree of data items, and back in the one form of §4.2.1: shortest heads, floats as short as their
 * value allows, definite lengths, keys of maps in the order of their bytes. Bytes are `StaticArray<u8>`, as bindings have a
 * `list<u8>`.
 *
 * The reader takes every well-formed item (§5.3, appendix F), or with `isStrict` those in that form alone. Two equal keys of a
 * map and texts that are no UTF-8 are refused always (§5.6, §5.3.1). Tags are kept and not interpreted, but for the numbers beyond
 * 64 bits of §3.4.3, which have one form as well.
 */
import { I128, U128 } from "./int128.as"
import { sortedIndices } from "./order.as"
import { err, ok, Result } from "./result.as"
import { encodeUtf8, tryDecodeUtf8 } from "./utf8.as"

export enum CborKind {
  /** 0 … 2⁶⁴−1. */
  unsigned,
  /** −1 … −2⁶⁴. */
  negative,
  bytes,
  text,
  array,
  map,
  tag,
  /** false, true, null, undefined, and the values without a meaning yet. */
  simple,
  float,
}

export enum CborReason {
  /** It ends too soon. */
  end,
  /** No item begins like this (appendix F). */
  malformed,
  /** A text that is no UTF-8. */
  text,
  /** The second of two equal keys. */
  duplicate,
  /** Bytes after the item. */
  trailing,
  /** Not in the form of §4.2.1. */
  notDeterministic,
  /** Items deeper than `depthMax`. */
  depthMax,
  /** More bytes than `bytesMax`. */
  bytesMax,
  /** More items than `itemsMax`. */
  itemsMax,
}

/** What bytes may ask for. */
export class CborLimits {
  /** Arrays, maps and tags inside one another; 256 at most, since each takes stack. */
  depthMax: i32 = 64
  bytesMax: i32 = 16 << 20
  /** Items of all kinds, which bounds the memory: one has 48 bytes and its content. */
  itemsMax: i32 = 1_000_000
  /** Refuses what is not in the deterministic form. */
  isStrict: bool = false
}

/** Why bytes were refused, and where. */
export class CborError {
  constructor(
    readonly reason: CborReason,
    readonly offset: i32,
    /** The limit, where it is one. */
    readonly limit: i32,
  ) {}
  toString(): string {
    return `Cannot read CBOR at byte ${this.offset}: ${this.what()}`
  }
  private what(): string {
    switch (this.reason) {
      case CborReason.end:
        return "it ends too soon"
      case CborReason.text:
        return "a text is no UTF-8"
      case CborReason.duplicate:
        return "a map has two equal keys"
      case CborReason.trailing:
        return "nothing is expected after the item"
      case CborReason.notDeterministic:
        return "it is not in the deterministic form"
      case CborReason.depthMax:
        return `depthMax is ${this.limit}`
      case CborReason.bytesMax:
        return `bytesMax is ${this.limit}`
      case CborReason.itemsMax:
        return `itemsMax is ${this.limit}`
    }
    return "no item is made like this"
  }
}

/** Deeper than this nothing is read or written: a level takes up to 48 bytes of the 32 KiB of stack that `asc` gives. */
const depthLimit: i32 = 256

// @ts-ignore: decorator
@final
export class Cbor {
  /** The argument of the item's head; of floats the bits of an `f64`. */
  private argument: u64 = 0
  private content: StaticArray<u8> | null = null
  private string: string | null = null
  /** Elements, keys and values in turn, or what is tagged. */
  private items: Array<Cbor> | null = null

  private constructor(readonly kind: CborKind) {}

  private static of(kind: CborKind, argument: u64): Cbor {
    const item = new Cbor(kind)
    item.argument = argument
    return item
  }
  static unsigned(value: u64): Cbor {
    return Cbor.of(CborKind.unsigned, value)
  }
  static integer(value: i64): Cbor {
    return value < 0 ? Cbor.negative(<u64>~value) : Cbor.unsigned(value)
  }
  /** −1 − `argument`. */
  static negative(argument: u64): Cbor {
    return Cbor.of(CborKind.negative, argument)
  }
  /** An integer, as a tagged byte string beyond 64 bits (§3.4.3). */
  static big(value: I128): Cbor {
    const isNegative = value.isNegative
    const argument = isNegative ? value.not() : value
    if (argument.high == 0) return isNegative ? Cbor.negative(argument.low) : Cbor.unsigned(argument.low)
    const content = new StaticArray<u8>(16)
    store<u64>(changetype<usize>(content), bswap<u64>(<u64>argument.high))
    store<u64>(changetype<usize>(content), bswap<u64>(argument.low), 8)
    return Cbor.tag(isNegative ? 3 : 2, Cbor.bytes(content))
  }
  static bytes(content: StaticArray<u8>): Cbor {
    const item = new Cbor(CborKind.bytes)
    item.content = content
    return item
  }
  /** Half of a surrogate pair is written as U+FFFD. */
  static text(text: string): Cbor {
    const item = new Cbor(CborKind.text)
    item.string = text
    return item
  }
  static array(items: Array<Cbor> = new Array<Cbor>(0)): Cbor {
    const item = new Cbor(CborKind.array)
    item.items = items
    return item
  }
  static map(): Cbor {
    const item = new Cbor(CborKind.map)
    item.items = new Array<Cbor>(0)
    return item
  }
  static tag(tag: u64, content: Cbor): Cbor {
    const item = Cbor.of(CborKind.tag, tag)
    item.items = [content]
    return item
  }
  static boolean(value: bool): Cbor {
    return Cbor.of(CborKind.simple, 20 + u64(value))
  }
  static get null_(): Cbor {
    return Cbor.of(CborKind.simple, 22)
  }
  static get undefined_(): Cbor {
    return Cbor.of(CborKind.simple, 23)
  }
  /** 0 … 255 without 24 … 31, which no bytes mean (§3.3): traps for those. */
  static simple(value: i32): Cbor {
    if (<u32>value > 255 || (value >= 24 && value < 32)) unreachable()
    return Cbor.of(CborKind.simple, value)
  }
  static float(value: f64): Cbor {
    return Cbor.of(CborKind.float, reinterpret<u64>(value))
  }

  /** Reads bytes that are one item. */
  static read(bytes: StaticArray<u8>, limits: CborLimits = new CborLimits()): Result<Cbor, CborError> {
    return new Reader(bytes, limits).read()
  }
  /** The deterministic form. Null where a map has two equal keys, and beyond 256 levels. */
  tryWrite(): StaticArray<u8> | null {
    const out = new Writer()
    return this.put(out, 0) ? out.bytes() : null
  }
  /** The same; traps where there is none. */
  write(): StaticArray<u8> {
    const bytes = this.tryWrite()
    if (bytes === null) unreachable()
    return bytes as StaticArray<u8>
  }

  private must(kind: CborKind): void {
    if (this.kind != kind) unreachable()
  }
  /** Traps for another kind, as do all below. */
  get asU64(): u64 {
    this.must(CborKind.unsigned)
    return this.argument
  }
  /** Whether it is an integer that an `i64` holds. */
  get fitsI64(): bool {
    return this.kind <= CborKind.negative && <i64>this.argument >= 0
  }
  get asI64(): i64 {
    if (!this.fitsI64) unreachable()
    return this.kind == CborKind.negative ? ~(<i64>this.argument) : <i64>this.argument
  }
  /** An integer, tagged or not (§3.4.3), or null: for everything else, and beyond 128 bits. */
  get asI128(): I128 | null {
    if (this.kind == CborKind.unsigned) return new I128(this.argument, 0)
    if (this.kind == CborKind.negative) return new I128(~this.argument, -1)
    const content = this.bignum
    if (content === null) return null
    let low: u64 = 0
    let high: u64 = 0
    for (let i = 0; i < content.length; i += 1) {
      if (high >> 56 != 0) return null
      high = (high << 8) | (low >> 56)
      low = (low << 8) | unchecked(content[i])
    }
    const value = new U128(low, high).toI128()
    return value === null || this.argument == 2 ? value : value.not()
  }
  /** The bytes of tag 2 or 3. */
  private get bignum(): StaticArray<u8> | null {
    return this.kind == CborKind.tag && (this.argument == 2 || this.argument == 3) ? unchecked(this.items![0]).content : null
  }
  get asBytes(): StaticArray<u8> {
    this.must(CborKind.bytes)
    return this.content as StaticArray<u8>
  }
  get asText(): string {
    this.must(CborKind.text)
    return this.string as string
  }
  get isBoolean(): bool {
    return this.kind == CborKind.simple && this.argument - 20 < 2
  }
  get asBoolean(): bool {
    if (!this.isBoolean) unreachable()
    return this.argument == 21
  }
  get isNull(): bool {
    return this.kind == CborKind.simple && this.argument == 22
  }
  get isUndefined(): bool {
    return this.kind == CborKind.simple && this.argument == 23
  }
  get asSimple(): i32 {
    this.must(CborKind.simple)
    return <i32>this.argument
  }
  get asF64(): f64 {
    this.must(CborKind.float)
    return reinterpret<f64>(this.argument)
  }
  /** The number of a tag. */
  get asTag(): u64 {
    this.must(CborKind.tag)
    return this.argument
  }
  /** What is tagged. */
  get tagged(): Cbor {
    this.must(CborKind.tag)
    return unchecked(this.items![0])
  }
  /** Elements of an array, entries of a map. */
  get length(): i32 {
    if (this.kind == CborKind.map) return this.items!.length >>> 1
    this.must(CborKind.array)
    return this.items!.length
  }
  /** An element, or the value of an entry, by its place. Traps where there is none. */
  at(index: i32): Cbor {
    if (<u32>index >= <u32>this.length) unreachable()
    return unchecked(this.items![this.kind == CborKind.map ? (index << 1) + 1 : index])
  }
  /** The key of an entry by its place. */
  keyAt(index: i32): Cbor {
    this.must(CborKind.map)
    if (<u32>index >= <u32>this.length) unreachable()
    return unchecked(this.items![index << 1])
  }
  /** The value under a text, or null; looks at one key after the other. */
  get(key: string): Cbor | null {
    this.must(CborKind.map)
    const items = this.items!
    for (let i = 0; i < items.length; i += 2) {
      const string = unchecked(items[i]).string
      if (string !== null && string == key) return unchecked(items[i + 1])
    }
    return null
  }
  /** Adds an entry. A key that is there already is seen when the map is written. */
  add(key: Cbor, value: Cbor): this {
    this.must(CborKind.map)
    this.items!.push(key)
    this.items!.push(value)
    return this
  }
  push(item: Cbor): this {
    this.must(CborKind.array)
    this.items!.push(item)
    return this
  }

  /** Whether two keys are one, however they were written. */
  hasRepeatedKey(): bool {
    const keys: Array<StaticArray<u8>> = []
    for (let i = 0; i < this.length; i += 1) keys.push(this.keyAt(i).write())
    const order = sortedIndices<Array<StaticArray<u8>>>(0, keys.length, keys, compareEncoded)
    for (let i = 1; i < order.length; i += 1) if (compareEncoded(keys, unchecked(order[i - 1]), unchecked(order[i])) == 0) return true
    return false
  }

  /** Writes the item; false where it has no deterministic form. */
  put(out: Writer, depth: i32): bool {
    if (depth > depthLimit) return false
    switch (this.kind) {
      case CborKind.bytes:
        out.string(2, this.content!)
        return true
      case CborKind.text:
        out.string(3, encodeUtf8(this.string!))
        return true
      case CborKind.simple:
        out.head(7, this.argument)
        return true
      case CborKind.float:
        out.float(reinterpret<f64>(this.argument))
        return true
      case CborKind.array: {
        const items = this.items!
        out.head(4, items.length)
        for (let i = 0; i < items.length; i += 1) if (!unchecked(items[i]).put(out, depth + 1)) return false
        return true
      }
      case CborKind.map:
        return this.putMap(out, depth)
      case CborKind.tag: {
        const content = this.bignum
        if (content !== null && this.putBignum(out, content)) return true
        out.head(6, this.argument)
        return unchecked(this.items![0]).put(out, depth + 1)
      }
    }
    out.head(<u8>this.kind, this.argument)
    return true
  }
  /** Numbers that fit 64 bits have no tag, others no zeros before them (§3.4.3); false where the content is right as it is. */
  private putBignum(out: Writer, content: StaticArray<u8>): bool {
    let from = 0
    while (from < content.length && unchecked(content[from]) == 0) from += 1
    if (content.length - from > 8) {
      if (from == 0) return false
      out.head(6, this.argument)
      out.string(2, content.slice<StaticArray<u8>>(from))
      return true
    }
    let value: u64 = 0
    for (; from < content.length; from += 1) value = (value << 8) | unchecked(content[from])
    out.head(this.argument == 2 ? 0 : 1, value)
    return true
  }
  /** Entries in the order of their keys' bytes (§4.2.1). */
  private putMap(out: Writer, depth: i32): bool {
    const items = this.items!
    const entries = items.length >>> 1
    out.head(5, entries)
    /** Where each key and each value begins, and where the last ends. */
    const places = new StaticArray<i32>(items.length + 1)
    for (let i = 0; i < items.length; i += 1) {
      unchecked((places[i] = out.length))
      if (!unchecked(items[i]).put(out, depth + 1)) return false
    }
    unchecked((places[items.length] = out.length))
    const spans = new Spans(out.start, places)
    let isSorted: bool = true
    for (let i = 1; i < entries && isSorted; i += 1) isSorted = compareSpans(spans, i - 1, i) < 0
    if (isSorted) return true
    const order = sortedIndices<Spans>(0, entries, spans, compareSpans)
    for (let i = 1; i < entries; i += 1) if (compareSpans(spans, unchecked(order[i - 1]), unchecked(order[i])) == 0) return false
    out.reorder(places, order)
    return true
  }
}

/** Bytes with the places of keys and values in them. */
class Spans {
  constructor(
    readonly start: usize,
    readonly places: StaticArray<i32>,
  ) {}
}
/** The keys of two entries. */
function compareSpans(spans: Spans, a: i32, b: i32): i32 {
  const places = spans.places
  const start = spans.start
  return compareBytes(
    start + unchecked(places[a << 1]),
    start + unchecked(places[(a << 1) + 1]),
    start + unchecked(places[b << 1]),
    start + unchecked(places[(b << 1) + 1]),
  )
}
function compareEncoded(keys: Array<StaticArray<u8>>, a: i32, b: i32): i32 {
  const left = unchecked(keys[a])
  const right = unchecked(keys[b])
  const from = changetype<usize>(left)
  const other = changetype<usize>(right)
  return compareBytes(from, from + <usize>left.length, other, other + <usize>right.length)
}

/** Bytes that grow. */
class Writer {
  private buffer: StaticArray<u8> = new StaticArray<u8>(128)
  length: i32 = 0

  get start(): usize {
    return changetype<usize>(this.buffer)
  }
  private room(bytes: i32): usize {
    const needed = this.length + bytes
    if (needed > this.buffer.length) {
      const larger = new StaticArray<u8>(max<i32>(needed, this.buffer.length << 1))
      memory.copy(changetype<usize>(larger), changetype<usize>(this.buffer), this.length)
      this.buffer = larger
    }
    return changetype<usize>(this.buffer) + this.length
  }
  /** The first bytes of an item: its major type and its argument, as short as it goes. */
  head(major: u8, argument: u64): void {
    const type = <u8>(major << 5)
    const at = this.room(9)
    if (argument < 24) {
      store<u8>(at, type | <u8>argument)
      this.length += 1
    } else if (argument <= 0xff) {
      store<u8>(at, type | 24)
      store<u8>(at, <u8>argument, 1)
      this.length += 2
    } else if (argument <= 0xffff) {
      store<u8>(at, type | 25)
      store<u16>(at, bswap<u16>(<u16>argument), 1)
      this.length += 3
    } else if (argument <= 0xffffffff) {
      store<u8>(at, type | 26)
      store<u32>(at, bswap<u32>(<u32>argument), 1)
      this.length += 5
    } else {
      store<u8>(at, type | 27)
      store<u64>(at, bswap<u64>(argument), 1)
      this.length += 9
    }
  }
  string(major: u8, content: StaticArray<u8>): void {
    this.head(major, content.length)
    memory.copy(this.room(content.length), changetype<usize>(content), content.length)
    this.length += content.length
  }
  float(value: f64): void {
    const at = this.room(9)
    const single = <f32>value
    if (isNaN(value)) {
      // All NaNs are the one of appendix A.
      store<u8>(at, 0xf9)
      store<u16>(at, 0x007e, 1)
      this.length += 3
      return
    }
    if (<f64>single != value) {
      store<u8>(at, 0xfb)
      store<u64>(at, bswap<u64>(reinterpret<u64>(value)), 1)
      this.length += 9
      return
    }
    const half = halfOf(single)
    if (half < 0) {
      store<u8>(at, 0xfa)
      store<u32>(at, bswap<u32>(reinterpret<u32>(single)), 1)
      this.length += 5
      return
    }
    store<u8>(at, 0xf9)
    store<u16>(at, bswap<u16>(<u16>half), 1)
    this.length += 3
  }
  /** Puts the entries between the places in another order. */
  reorder(places: StaticArray<i32>, order: StaticArray<i32>): void {
    const first = unchecked(places[0])
    const copy = new StaticArray<u8>(this.length - first)
    memory.copy(changetype<usize>(copy), this.start + first, copy.length)
    let to = this.start + first
    for (let i = 0; i < order.length; i += 1) {
      const entry = unchecked(order[i]) << 1
      const from = unchecked(places[entry])
      const bytes = unchecked(places[entry + 2]) - from
      memory.copy(to, changetype<usize>(copy) + (from - first), bytes)
      to += bytes
    }
  }
  bytes(): StaticArray<u8> {
    return this.buffer.slice<StaticArray<u8>>(0, this.length)
  }
}

/** The bits of the half-precision float that is this value, or −1. */
function halfOf(value: f32): i32 {
  const bits = reinterpret<u32>(value)
  const sign = <i32>((bits >> 16) & 0x8000)
  const exponent = <i32>((bits >> 23) & 0xff)
  const fraction = bits & 0x7fffff
  if (exponent == 0 && fraction == 0) return sign
  if (exponent == 255) return fraction == 0 ? sign | 0x7c00 : -1
  // Normal halves have exponents of −14 … 15.
  if (exponent >= 113 && exponent <= 142) return (fraction & 0x1fff) != 0 ? -1 : sign | ((exponent - 112) << 10) | <i32>(fraction >> 13)
  // Subnormal ones are multiples of 2⁻²⁴.
  if (exponent < 103 || exponent > 112) return -1
  const full = fraction | 0x800000
  const shift = <u32>(126 - exponent)
  return (full & ((1 << shift) - 1)) != 0 ? -1 : sign | <i32>(full >> shift)
}

/** Appendix D. */
function ofHalf(half: u32): f64 {
  const exponent = (half >> 10) & 0x1f
  const fraction = <f64>(half & 0x3ff)
  let value: f64
  if (exponent == 0) value = fraction * 5.960464477539063e-8
  else if (exponent == 31) value = fraction == 0 ? Infinity : NaN
  else value = (fraction + 1024) * reinterpret<f64>(<u64>(exponent + 998) << 52)
  return (half & 0x8000) != 0 ? -value : value
}

class Reader {
  private readonly from: usize
  private readonly end: usize
  private at: usize
  private items: i32 = 0
  /** Whatever was not in the deterministic form is counted. */
  private loose: i32 = 0
  private reason: CborReason = CborReason.malformed
  private place: usize = 0
  private limit: i32 = 0
  /** The argument of the last head. */
  private argument: u64 = 0
  private isIndefinite: bool = false

  constructor(
    private readonly source: StaticArray<u8>,
    private readonly limits: CborLimits,
  ) {
    this.from = changetype<usize>(source)
    this.at = this.from
    this.end = this.from + <usize>source.length
  }

  read(): Result<Cbor, CborError> {
    const limits = this.limits
    let item: Cbor | null = null
    if (this.source.length > limits.bytesMax) this.fail(CborReason.bytesMax, this.from, limits.bytesMax)
    else item = this.item(0)
    if (item !== null && this.at < this.end) item = this.fail(CborReason.trailing, this.at)
    if (item === null) return err<Cbor, CborError>(new CborError(this.reason, <i32>(this.place - this.from), this.limit))
    return ok<Cbor, CborError>(item)
  }

  private fail(reason: CborReason, at: usize, limit: i32 = 0): Cbor | null {
    this.reason = reason
    this.place = at
    this.limit = limit
    return null
  }
  /** Notes that something at `at` is not in the deterministic form; false where that is refused. */
  private isLoose(at: usize): bool {
    this.loose += 1
    if (!this.limits.isStrict) return true
    this.fail(CborReason.notDeterministic, at)
    return false
  }

  /** Reads the bytes after the initial one (§3); false where there is no such head. */
  private head(start: usize, info: u32): bool {
    this.isIndefinite = false
    this.argument = info
    if (info < 24) return true
    if (info > 27) {
      this.isIndefinite = info == 31
      if (!this.isIndefinite) this.fail(CborReason.malformed, start)
      return this.isIndefinite
    }
    const bytes: usize = 1 << (info - 24)
    if (this.at + bytes > this.end) {
      this.fail(CborReason.end, this.end)
      return false
    }
    const at = this.at
    this.at += bytes
    if (info == 24) this.argument = load<u8>(at)
    else if (info == 25) this.argument = bswap<u16>(load<u16>(at))
    else if (info == 26) this.argument = bswap<u32>(load<u32>(at))
    else this.argument = bswap<u64>(load<u64>(at))
    return true
  }
  /** Whether the argument could not have been shorter. */
  private isShortest(info: u32): bool {
    if (info < 24) return true
    // An argument of 2, 4 or 8 bytes needs more than half of them.
    return info == 24 ? this.argument >= 24 : this.argument >> (<u64>4 << (info - 24)) != 0
  }

  private item(depth: i32): Cbor | null {
    const start = this.at
    const limits = this.limits
    const depthMax = min<i32>(limits.depthMax, depthLimit)
    if (depth > depthMax) return this.fail(CborReason.depthMax, start, depthMax)
    this.items += 1
    if (this.items > limits.itemsMax) return this.fail(CborReason.itemsMax, start, limits.itemsMax)
    if (start >= this.end) return this.fail(CborReason.end, start)
    const initial = <u32>load<u8>(start)
    const major = initial >> 5
    const info = initial & 31
    this.at = start + 1
    if (!this.head(start, info)) return null
    const argument = this.argument
    if (this.isIndefinite) {
      // 0, 1 and 6 have no length to leave open; 7 with it is the end of something that is not open here.
      if (major < 2 || major > 5) return this.fail(CborReason.malformed, start)
      if (!this.isLoose(start)) return null
      if (major < 4) return this.chunks(start, major)
      return major == 4 ? this.array(depth, u64.MAX_VALUE) : this.map(start, depth, u64.MAX_VALUE)
    }
    if (major == 7) return this.simple(start, info, argument)
    if (!this.isShortest(info) && !this.isLoose(start)) return null
    switch (major) {
      case 0:
        return Cbor.unsigned(argument)
      case 1:
        return Cbor.negative(argument)
      case 2:
      case 3: {
        const bytes = this.span(argument)
        if (bytes === null) return null
        return major == 2 ? Cbor.bytes(bytes) : this.text(bytes, this.at - <usize>bytes.length)
      }
      case 4:
        return argument > <u64>(this.end - this.at) ? this.fail(CborReason.end, this.end) : this.array(depth, argument)
      case 5:
        return argument > <u64>(this.end - this.at) >> 1 ? this.fail(CborReason.end, this.end) : this.map(start, depth, argument)
    }
    const content = this.item(depth + 1)
    if (content === null) return null
    const item = Cbor.tag(argument, content)
    // A number beyond 64 bits is one, and has no zeros before it (§3.4.3).
    if ((argument == 2 || argument == 3) && content.kind == CborKind.bytes) {
      const bytes = content.asBytes
      if ((bytes.length <= 8 || unchecked(bytes[0]) == 0) && !this.isLoose(start)) return null
    }
    return item
  }

  /** So many bytes, copied. */
  private span(length: u64): StaticArray<u8> | null {
    if (length > <u64>(this.end - this.at)) {
      this.fail(CborReason.end, this.end)
      return null
    }
    const bytes = new StaticArray<u8>(<i32>length)
    memory.copy(changetype<usize>(bytes), this.at, <usize>length)
    this.at += <usize>length
    return bytes
  }
  private text(bytes: StaticArray<u8>, at: usize): Cbor | null {
    const text = tryDecodeUtf8(bytes)
    return text.isErr ? this.fail(CborReason.text, at + <usize>text.error.offset) : Cbor.text(text.value)
  }
  /** Whether an open item ends here. */
  private isBreak(): bool {
    if (this.at >= this.end || load<u8>(this.at) != 0xff) return false
    this.at += 1
    return true
  }
  /** A string in parts, each of which is a whole string of a stated length (§3.2.3). */
  private chunks(start: usize, major: u32): Cbor | null {
    let whole = new StaticArray<u8>(0)
    while (!this.isBreak()) {
      const at = this.at
      if (at >= this.end) return this.fail(CborReason.end, at)
      const initial = <u32>load<u8>(at)
      if (initial >> 5 != major || (initial & 31) == 31) return this.fail(CborReason.malformed, at)
      this.items += 1
      if (this.items > this.limits.itemsMax) return this.fail(CborReason.itemsMax, at, this.limits.itemsMax)
      this.at = at + 1
      if (!this.head(at, initial & 31)) return null
      const part = this.span(this.argument)
      if (part === null) return null
      if (major == 3 && this.text(part, this.at - <usize>part.length) === null) return null
      whole = whole.concat<StaticArray<u8>>(part)
    }
    return major == 2 ? Cbor.bytes(whole) : this.text(whole, start)
  }
  private array(depth: i32, length: u64): Cbor | null {
    const items: Array<Cbor> = []
    const isOpen = length == u64.MAX_VALUE
    for (let i: u64 = 0; i < length; i += 1) {
      if (isOpen && this.isBreak()) break
      const item = this.item(depth + 1)
      if (item === null) return null
      items.push(item)
    }
    return Cbor.array(items)
  }
  private map(start: usize, depth: i32, length: u64): Cbor | null {
    const map = Cbor.map()
    const isOpen = length == u64.MAX_VALUE
    const loose = this.loose
    /** Whether keys came in their order; the bytes of the last. */
    let isAscending: bool = true
    let last: usize = 0
    let lastEnd: usize = 0
    for (let i: u64 = 0; i < length; i += 1) {
      if (isOpen && this.isBreak()) break
      const at = this.at
      const before = this.loose
      const key = this.item(depth + 1)
      if (key === null) return null
      const end = this.at
      isAscending = isAscending && this.loose == before && (last == 0 || compareBytes(last, lastEnd, at, end) < 0)
      if (!isAscending && this.limits.isStrict)
        return this.fail(compareBytes(last, lastEnd, at, end) == 0 ? CborReason.duplicate : CborReason.notDeterministic, at)
      last = at
      lastEnd = end
      const value = this.item(depth + 1)
      if (value === null) return null
      map.add(key, value)
    }
    if (isAscending) return map
    if (loose == this.loose) this.loose += 1
    return map.hasRepeatedKey() ? this.fail(CborReason.duplicate, start) : map
  }
  private simple(start: usize, info: u32, argument: u64): Cbor | null {
    if (info < 24) return Cbor.simple(<i32>argument)
    if (info == 24) return argument < 32 ? this.fail(CborReason.malformed, start) : Cbor.simple(<i32>argument)
    const value = info == 25 ? ofHalf(<u32>argument) : info == 26 ? <f64>reinterpret<f32>(<u32>argument) : reinterpret<f64>(argument)
    // As long as the shortest that is this value, and the one NaN.
    const isTight = isNaN(value)
      ? info == 25 && argument == 0x7e00
      : info == 25 || (info == 26 && halfOf(<f32>value) < 0) || (info == 27 && <f64>(<f32>value) != value)
    return isTight || this.isLoose(start) ? Cbor.float(value) : null
  }
}

/** Below, at or above 0 as the bytes of one span are to another's (§4.2.1). */
function compareBytes(a: usize, aEnd: usize, b: usize, bEnd: usize): i32 {
  const order = memory.compare(a, b, min<usize>(aEnd - a, bEnd - b))
  return order != 0 ? order : i32(aEnd - a > bEnd - b) - i32(aEnd - a < bEnd - b)
}
