/**
 * JSON (RFC 8259): text → a tree of values and back. Numbers keep their text, so 2⁵³+1 and 0.10 are what was written, and
 * `decimal` reads them exactly. Members keep their order.
 *
 * Where the RFC leaves a choice: two members of one name are refused (§4), as I-JSON (RFC 7493) demands; half of a surrogate
 * pair in an escape is kept, and written as an escape (§8.2); a byte order mark is refused (§8.1); white space is what §2
 * lists. Reading neither recurses nor hashes, so no input is slower than n log n.
 */
import { nearestF64 } from "./float.as"
import { sortedIndices } from "./order.as"
import { err, ok, Result } from "./result.as"

export enum JsonKind {
  null_,
  boolean,
  number,
  string,
  array,
  object,
}

export enum JsonReason {
  /** Something that JSON does not have there. */
  unexpected,
  /** The text ends too soon. */
  end,
  /** A control character in a string: U+0000 … U+001F are written as escapes. */
  control,
  /** An escape that is none. */
  escape,
  /** A number that is none: `01`, `1.`, `+1`. */
  number,
  /** The second member of a name. */
  duplicate,
  /** Arrays and objects deeper than `depthMax`. */
  depthMax,
  /** A text longer than `unitsMax`. */
  unitsMax,
  /** More values than `valuesMax`. */
  valuesMax,
}

/** What a text may ask for. */
export class JsonLimits {
  /** Arrays and objects inside one another. */
  depthMax: i32 = 128
  /** UTF-16 code units of the text. */
  unitsMax: i32 = 16 << 20
  /** Values of all kinds, which bounds the memory: one has 48 bytes, and its text. */
  valuesMax: i32 = 1_000_000
}

/** Why a text was refused, and where: all counted in UTF-16 code units, line and column from 1. */
export class JsonError {
  constructor(
    readonly reason: JsonReason,
    readonly offset: i32,
    readonly line: i32,
    readonly column: i32,
    /** The limit, where it is one. */
    readonly limit: i32,
  ) {}
  toString(): string {
    return `Cannot read JSON at line ${this.line}, column ${this.column}: ${this.what()}`
  }
  private what(): string {
    switch (this.reason) {
      case JsonReason.end:
        return "it ends too soon"
      case JsonReason.control:
        return "a control character in a string is written as an escape"
      case JsonReason.escape:
        return "there is no such escape"
      case JsonReason.number:
        return "there is no such number"
      case JsonReason.duplicate:
        return "there is a member of this name already"
      case JsonReason.depthMax:
        return `depthMax is ${this.limit}`
      case JsonReason.unitsMax:
        return `unitsMax is ${this.limit}`
      case JsonReason.valuesMax:
        return `valuesMax is ${this.limit}`
    }
    return "this is not expected here"
  }
}

/** Members up to which a name is looked for one after the other. */
const fewMembers: i32 = 8
/** Members after the sorted ones, up to which they are looked for one after the other. */
const tailMembers: i32 = 32

/** By UTF-16 code units, as RFC 8785 §3.2.3 sorts. */
function compareUnits(a: string, b: string): i32 {
  const length = min<i32>(a.length, b.length)
  const left = changetype<usize>(a)
  const right = changetype<usize>(b)
  for (let at: usize = 0; at < <usize>length << 1; at += 2) {
    const difference = <i32>load<u16>(left + at) - <i32>load<u16>(right + at)
    if (difference != 0) return difference
  }
  return a.length - b.length
}
function compareNames(names: Array<string>, a: i32, b: i32): i32 {
  return compareUnits(unchecked(names[a]), unchecked(names[b]))
}

const noText = ""

// @ts-ignore: decorator
@final
export class Json {
  /** A string's or a number's text, or what it lies in. */
  private source: string = noText
  /** Where in `source`, while nobody has asked for it; 0 when it is the text itself. Reading makes half as many objects so. */
  private from: i32 = 0
  private to: i32 = 0
  private items: Array<Json> | null = null
  private names: Array<string> | null = null
  /** Indices of the first members by their names; those after them are looked for one after the other. */
  private order: StaticArray<i32> | null = null

  private constructor(readonly kind: JsonKind) {}

  private static nothing: Json = new Json(JsonKind.null_)
  private static yes: Json = new Json(JsonKind.boolean)
  private static no: Json = new Json(JsonKind.boolean)

  static get null_(): Json {
    return Json.nothing
  }
  static boolean(value: bool): Json {
    return value ? Json.yes : Json.no
  }
  static string(value: string): Json {
    const json = new Json(JsonKind.string)
    json.source = value
    return json
  }
  static integer(value: i64): Json {
    return Json.ofText(`${value}`)
  }
  static unsigned(value: u64): Json {
    return Json.ofText(`${value}`)
  }
  /** Traps for what is no number of JSON: NaN and the infinities. */
  static float(value: f64): Json {
    if (!isFinite(value)) unreachable()
    // −0 is 0, and whole numbers have no point, as JSON.stringify has it.
    const text = value == 0 ? "0" : `${value}`
    return Json.ofText(text.endsWith(".0") ? text.substring(0, text.length - 2) : text)
  }
  /** A number by its text, such as a decimal's; null for what is none. */
  static number(text: string): Json | null {
    const from = changetype<usize>(text)
    const end = from + (<usize>text.length << 1)
    return text.length > 0 && numberEnd(from, end) == end && !isBadNumber ? Json.ofText(text) : null
  }
  /** For what is known to be one. */
  static ofText(text: string): Json {
    const json = new Json(JsonKind.number)
    json.source = text
    return json
  }
  static array(items: Array<Json> = new Array<Json>(0)): Json {
    const json = new Json(JsonKind.array)
    json.items = items
    return json
  }
  static object(): Json {
    const json = new Json(JsonKind.object)
    json.items = new Array<Json>(0)
    json.names = new Array<string>(0)
    return json
  }

  /** For the reader: what stands in a text between two places. */
  static part(kind: JsonKind, source: string, from: i32, to: i32): Json {
    const json = new Json(kind)
    json.source = source
    json.from = from
    json.to = to
    return json
  }
  private get text(): string {
    if (this.to != 0) {
      this.source = this.source.substring(this.from, this.to)
      this.to = 0
    }
    return this.source
  }

  /** Reads a text that is one value, which it holds on to until every string and number in it was asked for. */
  static parse(text: string, limits: JsonLimits = new JsonLimits()): Result<Json, JsonError> {
    return new Reader(text, limits).read()
  }

  get isNull(): bool {
    return this.kind == JsonKind.null_
  }
  /** Traps for another kind, as do all below. */
  get asBoolean(): bool {
    if (this.kind != JsonKind.boolean) unreachable()
    return this === Json.yes
  }
  get asString(): string {
    if (this.kind != JsonKind.string) unreachable()
    return this.text
  }
  /** The number as it was written. */
  get numberText(): string {
    if (this.kind != JsonKind.number) unreachable()
    return this.text
  }
  /** The nearest `f64`, halves to even; ±∞ beyond the range. */
  get asF64(): f64 {
    return nearestF64(this.numberText)
  }
  /** Whether it is written as an integer (`12`, not `12.0`) that an `i64` holds. */
  get fitsI64(): bool {
    if (this.kind != JsonKind.number) return false
    const isNegative = this.text.charCodeAt(0) == 45
    return isInteger(this.text, isNegative) && magnitude <= (isNegative ? 1 << 63 : <u64>i64.MAX_VALUE)
  }
  get fitsU64(): bool {
    return this.kind == JsonKind.number && isInteger(this.text, false)
  }
  /** Traps where it does not fit. */
  get asI64(): i64 {
    if (!this.fitsI64) unreachable()
    return this.text.charCodeAt(0) == 45 ? <i64>(0 - magnitude) : <i64>magnitude
  }
  get asU64(): u64 {
    if (!this.fitsU64) unreachable()
    return magnitude
  }

  /** Elements of an array, members of an object. */
  get length(): i32 {
    const items = this.items
    if (items === null) unreachable()
    return items!.length
  }
  /** An element, or the value of a member, by its place. Traps where there is none. */
  at(index: i32): Json {
    if (<u32>index >= <u32>this.length) unreachable()
    return unchecked(this.items![index])
  }
  /** The name of a member by its place. */
  nameAt(index: i32): string {
    if (this.kind != JsonKind.object || <u32>index >= <u32>this.length) unreachable()
    return unchecked(this.names![index])
  }
  /** The value of a member, or null. */
  get(name: string): Json | null {
    const index = this.indexOf(name)
    return index < 0 ? null : unchecked(this.items![index])
  }
  has(name: string): bool {
    return this.indexOf(name) >= 0
  }
  /** Puts a member in the place of the one of its name, or at the end. */
  set(name: string, value: Json): this {
    const index = this.indexOf(name)
    if (index >= 0) {
      unchecked((this.items![index] = value))
    } else {
      this.names!.push(name)
      this.items!.push(value)
    }
    return this
  }
  /** Takes a member away; false where there is none. */
  delete(name: string): bool {
    const index = this.indexOf(name)
    if (index < 0) return false
    this.names!.splice(index, 1)
    this.items!.splice(index, 1)
    this.order = null
    return true
  }
  push(value: Json): this {
    if (this.kind != JsonKind.array) unreachable()
    this.items!.push(value)
    return this
  }

  private indexOf(name: string): i32 {
    if (this.kind != JsonKind.object) unreachable()
    const names = this.names!
    if (names.length - this.sorted > tailMembers) this.sort()
    const order = this.order
    let low = 0
    if (order !== null) {
      let high = order.length
      while (low < high) {
        const middle = (low + high) >>> 1
        if (compareUnits(unchecked(names[unchecked(order[middle])]), name) < 0) low = middle + 1
        else high = middle
      }
      if (low < order.length && unchecked(names[unchecked(order[low])]) == name) return unchecked(order[low])
    }
    for (let i = this.sorted; i < names.length; i += 1) if (unchecked(names[i]) == name) return i
    return -1
  }
  private get sorted(): i32 {
    const order = this.order
    return order === null ? 0 : order.length
  }
  /** Sorts the members after the sorted ones, and merges them. */
  sort(): StaticArray<i32> {
    const names = this.names!
    const old = this.order
    if (old !== null && old.length == names.length) return old
    const tail = sortedIndices<Array<string>>(this.sorted, names.length, names, compareNames)
    if (old === null) {
      this.order = tail
      return tail
    }
    const order = new StaticArray<i32>(names.length)
    let left = 0
    let right = 0
    for (let at = 0; at < order.length; at += 1) {
      const isLeft = left < old.length && (right >= tail.length || compareNames(names, unchecked(old[left]), unchecked(tail[right])) <= 0)
      unchecked((order[at] = isLeft ? old[left] : tail[right]))
      left += i32(isLeft)
      right += i32(!isLeft)
    }
    this.order = order
    return order
  }
  /** The first member whose name is another's before it, or −1. Of a few they were compared as they came. */
  repeated(): i32 {
    const names = this.names!
    if (names.length <= fewMembers) return -1
    const order = this.sort()
    let first = -1
    for (let i = 1; i < order.length; i += 1) {
      if (unchecked(names[unchecked(order[i])]) != unchecked(names[unchecked(order[i - 1])])) continue
      // The sort is stable, so the later one is the second.
      if (first < 0 || unchecked(order[i]) < first) first = unchecked(order[i])
    }
    return first
  }
  /** Adds a name whose value comes next; false for one that is there already, as far as that is known yet. */
  begin(name: string): bool {
    const names = this.names!
    if (names.length < fewMembers) for (let i = 0; i < names.length; i += 1) if (unchecked(names[i]) == name) return false
    names.push(name)
    return true
  }
  /** Adds a value, of an array or of the name that began. */
  end(value: Json): void {
    this.items!.push(value)
  }

  /** Without white space, in the order of members: `JSON.stringify(JSON.parse(text))` of a text whose numbers are in its form. */
  toString(): string {
    return this.write()
  }
  /**
   * The text. `isSorted` orders members by UTF-16 code units, as RFC 8785 does, which makes texts of equal trees equal, as long
   * as numbers are written alike: they keep their text. `indent` is spaces for each level; 0 is one line.
   */
  write(isSorted: bool = false, indent: i32 = 0): string {
    const out = new Writer(indent)
    const containers: Array<Json> = []
    const places: Array<i32> = []
    let value: Json = this
    while (true) {
      const kind = value.kind
      if (kind == JsonKind.array || kind == JsonKind.object) {
        out.unit(kind == JsonKind.array ? 91 : 123)
        containers.push(value)
        places.push(0)
      } else {
        value.writeScalar(out)
      }
      // What is whole is closed, until one has something left.
      while (true) {
        const depth = containers.length
        if (depth == 0) return out.text()
        const container = unchecked(containers[depth - 1])
        const place = unchecked(places[depth - 1])
        const isObject = container.kind == JsonKind.object
        if (place < container.items!.length) {
          if (place > 0) out.unit(44)
          out.line(depth)
          unchecked((places[depth - 1] = place + 1))
          const index = isObject && isSorted ? unchecked(container.sort()[place]) : place
          if (isObject) {
            out.string(unchecked(container.names![index]))
            out.unit(58)
            if (indent > 0) out.unit(32)
          }
          value = unchecked(container.items![index])
          break
        }
        if (place > 0) out.line(depth - 1)
        out.unit(isObject ? 125 : 93)
        containers.pop()
        places.pop()
      }
    }
  }
  private writeScalar(out: Writer): void {
    if (this.kind == JsonKind.string) out.string(this.text)
    else if (this.kind == JsonKind.number) out.plain(this.text)
    else out.plain(this.kind == JsonKind.null_ ? "null" : this === Json.yes ? "true" : "false")
  }
}

/** What `isInteger` read. */
let magnitude: u64 = 0
function isInteger(text: string, isNegative: bool): bool {
  magnitude = 0
  if (text.length - i32(isNegative) > 20) return false
  for (let at = i32(isNegative); at < text.length; at += 1) {
    const digit = <u64>(text.charCodeAt(at) - 48)
    if (digit > 9 || magnitude > 1844674407370955161 || (magnitude == 1844674407370955161 && digit > 5)) return false
    magnitude = magnitude * 10 + digit
  }
  return true
}

/** Whether `numberEnd` stopped at something that a number cannot have there. */
let isBadNumber: bool = false

function digitsEnd(from: usize, end: usize): usize {
  let at = from
  while (at < end && <u32>load<u16>(at) - 48 <= 9) at += 2
  if (at == from) isBadNumber = true
  return at
}

/** Where a number ends (§6). */
function numberEnd(from: usize, end: usize): usize {
  isBadNumber = false
  let at = from
  if (load<u16>(at) == 45) at += 2
  const whole = at
  at = digitsEnd(at, end)
  if (at - whole > 2 && load<u16>(whole) == 48) {
    isBadNumber = true
    return whole + 2
  }
  if (!isBadNumber && at < end && load<u16>(at) == 46) at = digitsEnd(at + 2, end)
  if (!isBadNumber && at < end && (load<u16>(at) | 32) == 101) {
    at += 2
    if (at < end && (load<u16>(at) == 43 || load<u16>(at) == 45)) at += 2
    at = digitsEnd(at, end)
  }
  return at
}

/** Four code units at once: the highest bit of each that is 0 below its neighbours' borrow; for the lowest such it is exact. */
// @ts-ignore: decorator
@inline
function zeroUnits(units: u64): u64 {
  return (units - 0x0001000100010001) & ~units & 0x8000800080008000
}
/** Not 0 where one of four units ends a run of a string: `"`, `\` or a control character. */
// @ts-ignore: decorator
@inline
function endsRun(units: u64): u64 {
  return (
    zeroUnits(units ^ 0x0022002200220022) | zeroUnits(units ^ 0x005c005c005c005c) | ((units - 0x0020002000200020) & ~units & 0x8000800080008000)
  )
}

function hexDigit(unit: u32): i32 {
  if (unit - 48 <= 9) return <i32>unit - 48
  const letter = (unit | 32) - 97
  return letter <= 5 ? <i32>letter + 10 : -1
}

class Reader {
  private readonly from: usize
  private readonly end: usize
  private at: usize
  private values: i32 = 0
  /** What the last string was, where it was a name or had escapes. */
  private string: string = noText
  private isEscaped: bool = false
  /** Names come again and again: the last ones, by a part of them. */
  private readonly names: StaticArray<string | null> = new StaticArray<string | null>(64)

  constructor(
    private readonly source: string,
    private readonly limits: JsonLimits,
  ) {
    this.from = changetype<usize>(source)
    this.at = this.from
    this.end = this.from + (<usize>source.length << 1)
  }

  private indexOf(at: usize): i32 {
    return <i32>((at - this.from) >> 1)
  }
  private fail(reason: JsonReason, at: usize, limit: i32 = 0): Result<Json, JsonError> {
    let line = 1
    let start = this.from
    for (let i = this.from; i < at; i += 2) {
      const unit = load<u16>(i)
      if (unit != 10 && (unit != 13 || (i + 2 < this.end && load<u16>(i, 2) == 10))) continue
      line += 1
      start = i + 2
    }
    const isEnd = reason == JsonReason.unexpected && at >= this.end
    const error = new JsonError(isEnd ? JsonReason.end : reason, <i32>((at - this.from) >> 1), line, <i32>((at - start) >> 1) + 1, limit)
    return err<Json, JsonError>(error)
  }

  /** The next unit that is no white space, 0 at the end. */
  private next(): u32 {
    let at = this.at
    while (at < this.end) {
      const unit = <u32>load<u16>(at)
      if (unit > 32 || (unit != 32 && unit != 10 && unit != 13 && unit != 9)) {
        this.at = at
        // U+0000 is no character of JSON's grammar either.
        return unit
      }
      at += 2
    }
    this.at = at
    return 0
  }

  read(): Result<Json, JsonError> {
    const limits = this.limits
    if (this.source.length > limits.unitsMax) return this.fail(JsonReason.unitsMax, this.from, limits.unitsMax)
    const containers: Array<Json> = []
    /** Where each of them begins. */
    const starts: Array<usize> = []
    while (true) {
      const unit = this.next()
      this.values += 1
      if (this.values > limits.valuesMax) return this.fail(JsonReason.valuesMax, this.at, limits.valuesMax)
      let value: Json
      if (unit == 34) {
        const start = this.at
        const problem = this.readString(false)
        if (problem >= 0) return this.fail(problem, this.at)
        value = this.isEscaped ? Json.string(this.string) : Json.part(JsonKind.string, this.source, this.indexOf(start) + 1, this.indexOf(this.at) - 1)
      } else if (unit == 123 || unit == 91) {
        if (containers.length >= limits.depthMax) return this.fail(JsonReason.depthMax, this.at, limits.depthMax)
        value = unit == 123 ? Json.object() : Json.array()
        const start = this.at
        this.at += 2
        if (this.next() != unit + 2) {
          containers.push(value)
          starts.push(start)
          if (unit == 123) {
            const problem = this.readName(value)
            if (problem >= 0) return this.fail(problem, this.at)
          }
          continue
        }
        this.at += 2
      } else if (unit == 45 || unit - 48 <= 9) {
        const start = this.at
        this.at = numberEnd(start, this.end)
        if (isBadNumber) return this.fail(this.at >= this.end ? JsonReason.end : JsonReason.number, this.at)
        value = Json.part(JsonKind.number, this.source, this.indexOf(start), this.indexOf(this.at))
      } else if (unit == 116 && this.isWord("true")) {
        value = Json.boolean(true)
      } else if (unit == 102 && this.isWord("false")) {
        value = Json.boolean(false)
      } else if (unit == 110 && this.isWord("null")) {
        value = Json.null_
      } else {
        return this.fail(JsonReason.unexpected, this.at)
      }
      // The value is whole: so may be what it is in.
      while (true) {
        const after = this.next()
        const depth = containers.length
        if (depth == 0) return this.at < this.end ? this.fail(JsonReason.unexpected, this.at) : ok<Json, JsonError>(value)
        const container = unchecked(containers[depth - 1])
        const isObject = container.kind == JsonKind.object
        container.end(value)
        if (after == 44) {
          this.at += 2
          if (isObject) {
            const problem = this.readName(container)
            if (problem >= 0) return this.fail(problem, this.at)
          }
          break
        }
        if (after != <u32>(isObject ? 125 : 93)) return this.fail(JsonReason.unexpected, this.at)
        this.at += 2
        const repeated = isObject ? container.repeated() : -1
        if (repeated >= 0) return this.fail(JsonReason.duplicate, this.nameAt(unchecked(starts[depth - 1]), repeated))
        containers.pop()
        starts.pop()
        value = container
      }
    }
  }

  /** Goes past a word that begins here. */
  private isWord(word: string): bool {
    const bytes = <usize>word.length << 1
    if (this.at + bytes > this.end || memory.compare(this.at, changetype<usize>(word), bytes) != 0) return false
    this.at += bytes
    return true
  }

  /** Reads the name of a member and the colon; −1, or why not, with `at` where. */
  private readName(object: Json): i32 {
    if (this.next() != 34) return JsonReason.unexpected
    const start = this.at
    const problem = this.readString(true)
    if (problem >= 0) return problem
    if (!object.begin(this.string)) {
      this.at = start
      return JsonReason.duplicate
    }
    if (this.next() != 58) return JsonReason.unexpected
    this.at += 2
    return -1
  }

  /** Where a member's name begins, in an object that has been read: for an error, since nobody keeps the places of names. */
  private nameAt(start: usize, index: i32): usize {
    let depth = 0
    let names = -1
    let isName = true
    this.at = start - 2
    while (true) {
      this.at += 2
      const unit = load<u16>(this.at)
      if (unit == 34) {
        const place = this.at
        if (depth == 1 && isName) names += 1
        if (names == index) return place
        isName = false
        this.readString(false)
        this.at -= 2
      } else if (unit == 123 || unit == 91) depth += 1
      else if (unit == 125 || unit == 93) depth -= 1
      else if (unit == 44 && depth == 1) isName = true
    }
  }

  /** Reads the string that begins here (§7), into `string` where it is a name or has escapes; −1, or why not, with `at` where. */
  private readString(isName: bool): i32 {
    const end = this.end
    const first = this.at + 2
    let at = first
    let isEscaped = false
    while (true) {
      while (at + 8 <= end && endsRun(load<u64>(at)) == 0) at += 8
      if (at >= end) {
        this.at = end
        return JsonReason.end
      }
      const unit = load<u16>(at)
      if (unit == 34) break
      if (unit < 32) {
        this.at = at
        return JsonReason.control
      }
      if (unit == 92) {
        // The unit after it may be the quote; what it means is seen when the string is whole.
        isEscaped = true
        at += 2
        if (at < end && load<u16>(at) < 32) {
          this.at = at
          return JsonReason.control
        }
      }
      at += 2
    }
    this.at = at + 2
    this.isEscaped = isEscaped
    if (isEscaped) {
      this.string = String.UTF16.decodeUnsafe(first, at - first)
      return this.unescape(first, at)
    }
    if (isName) this.string = this.nameIn(first, at - first)
    return -1
  }
  /** A name as a string: the one that there is already, if it was among the last. */
  private nameIn(at: usize, bytes: usize): string {
    if (bytes == 0) return noText
    const slot = (<i32>load<u16>(at) ^ (<i32>load<u16>(at + bytes - 2) << 2) ^ <i32>bytes) & 63
    const known = unchecked(this.names[slot])
    if (known !== null && <usize>known.length << 1 == bytes && memory.compare(changetype<usize>(known), at, bytes) == 0) return known
    const name = String.UTF16.decodeUnsafe(at, bytes)
    unchecked((this.names[slot] = name))
    return name
  }

  /** Replaces the escapes of `string`, which nobody has seen yet, where it stands: what an escape means is never longer. */
  private unescape(first: usize, end: usize): i32 {
    const start = changetype<usize>(this.string)
    let to = start
    for (let at = first; at < end; at += 2) {
      let unit = <u32>load<u16>(at)
      if (unit == 92) {
        const escape = at
        at += 2
        unit = <u32>load<u16>(at)
        if (unit == 117) {
          let value = 0
          for (let i = 0; i < 4; i += 1) {
            at += 2
            const digit = at < end ? hexDigit(load<u16>(at)) : -1
            if (digit < 0) {
              this.at = escape
              return JsonReason.escape
            }
            value = (value << 4) | digit
          }
          unit = <u32>value
        } else {
          unit = escaped(unit)
          if (unit == 0) {
            this.at = escape
            return JsonReason.escape
          }
        }
      }
      store<u16>(to, <u16>unit)
      to += 2
    }
    this.string = String.UTF16.decodeUnsafe(start, to - start)
    return -1
  }
}

/** What an escape of two units means, or 0. */
function escaped(letter: u32): u32 {
  switch (letter) {
    case 34:
    case 47:
    case 92:
      return letter
    case 98:
      return 8
    case 102:
      return 12
    case 110:
      return 10
    case 114:
      return 13
    case 116:
      return 9
  }
  return 0
}

/** A text that grows. */
class Writer {
  private buffer: StaticArray<u16> = new StaticArray<u16>(128)
  private length: i32 = 0

  constructor(private readonly indent: i32) {}

  /** Where the next units go, with room for so many. */
  private room(units: i32): usize {
    const needed = this.length + units
    if (needed > this.buffer.length) {
      const larger = new StaticArray<u16>(max<i32>(needed, this.buffer.length << 1))
      memory.copy(changetype<usize>(larger), changetype<usize>(this.buffer), <usize>this.length << 1)
      this.buffer = larger
    }
    return changetype<usize>(this.buffer) + (<usize>this.length << 1)
  }
  unit(unit: u16): void {
    store<u16>(this.room(1), unit)
    this.length += 1
  }
  plain(text: string): void {
    this.copy(changetype<usize>(text), <usize>text.length << 1)
  }
  private copy(from: usize, bytes: usize): void {
    memory.copy(this.room(<i32>(bytes >> 1)), from, bytes)
    this.length += <i32>(bytes >> 1)
  }
  /** A line's end and its indent, where lines are wanted. */
  line(depth: i32): void {
    if (this.indent <= 0) return
    const units = 1 + depth * this.indent
    const at = this.room(units)
    store<u16>(at, 10)
    for (let i = 1; i < units; i += 1) store<u16>(at + (<usize>i << 1), 32)
    this.length += units
  }
  /** A string with its quotes, escaped as JSON.stringify and RFC 8785 §3.2.2.2 do: no more than must be, in small hexadecimal digits. */
  string(text: string): void {
    this.unit(34)
    let at = changetype<usize>(text)
    const end = at + (<usize>text.length << 1)
    let run = at
    while (true) {
      while (at + 8 <= end) {
        const four = load<u64>(at)
        if ((endsRun(four) | zeroUnits((four & 0xf800f800f800f800) ^ 0xd800d800d800d800)) != 0) break
        at += 8
      }
      if (at >= end) break
      const unit = <u32>load<u16>(at)
      if (unit != 34 && unit != 92 && unit >= 32 && (unit & 0xf800) != 0xd800) {
        at += 2
        continue
      }
      if (unit >= 0xd800 && unit < 0xdc00 && at + 2 < end && (load<u16>(at, 2) & 0xfc00) == 0xdc00) {
        at += 4
        continue
      }
      this.copy(run, at - run)
      this.escape(unit)
      at += 2
      run = at
    }
    this.copy(run, end - run)
    this.unit(34)
  }
  private escape(unit: u32): void {
    const short = unit == 34 || unit == 92 ? unit : shortEscape(unit)
    const at = this.room(6)
    store<u16>(at, 92)
    if (short != 0) {
      store<u16>(at, <u16>short, 2)
      this.length += 2
      return
    }
    store<u16>(at, 117, 2)
    for (let i: u32 = 0; i < 4; i += 1) {
      const digit = (unit >> (12 - (i << 2))) & 15
      store<u16>(at + 4 + (<usize>i << 1), <u16>(digit + (digit < 10 ? 48 : 87)))
    }
    this.length += 6
  }
  text(): string {
    return String.UTF16.decodeUnsafe(changetype<usize>(this.buffer), <usize>this.length << 1)
  }
}

/** The letter of an escape of two units, or 0. */
function shortEscape(unit: u32): u32 {
  if (unit == 8) return 98
  if (unit == 9) return 116
  if (unit == 10) return 110
  if (unit == 12) return 102
  return unit == 13 ? 114 : 0
}
