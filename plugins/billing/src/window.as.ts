import { Reader, Writer } from "./bytes.as"

/** Events that are not rated yet, each once, in the order of (time, id, meter) when asked. */
let sorted: Window | null = null

export class Window {
  static readonly max: i32 = 65_536
  count: i32 = 0
  private capacity: i32 = 0
  /** at, id (high, low), meter, quantity, attribute, key. */
  private rows: StaticArray<u64> = new StaticArray<u64>(0)
  /** Places of rows by their hash, plus one; 0 for none. */
  private slots: StaticArray<i32> = new StaticArray<i32>(0)
  private isSorted: bool = true
  /** The last of what was dropped. */
  private hasDropped: bool = false
  private dropped: StaticArray<u64> = new StaticArray<u64>(words)

  // @ts-ignore: decorator
  @inline
  private row(index: i32): usize {
    return changetype<usize>(this.rows) + <usize>index * rowBytes
  }
  atOf(index: i32): i64 {
    return load<i64>(this.row(index))
  }
  meterOf(index: i32): u32 {
    return load<u32>(this.row(index), 24)
  }
  quantityOf(index: i32): i64 {
    return load<i64>(this.row(index), 32)
  }
  attributeOf(index: i32): i32 {
    return load<i32>(this.row(index), 40)
  }
  keyOf(index: i32): i32 {
    return load<i32>(this.row(index), 44)
  }

  /** 0 where it is there now; 1 where it contradicts what is there; 2 where it is too old. */
  add(at: i64, high: u64, low: u64, meter: u32, quantity: i64, attribute: i32, key: i32): i32 {
    if (this.count == this.capacity) this.grow()
    const row = this.row(this.count)
    store<i64>(row, at)
    store<u64>(row, high, 8)
    store<u64>(row, low, 16)
    store<u64>(row, <u64>meter, 24)
    store<i64>(row, quantity, 32)
    store<i32>(row, attribute, 40)
    store<i32>(row, key, 44)
    if (this.hasDropped && order(row, changetype<usize>(this.dropped)) <= 0) return 2
    const mask = this.slots.length - 1
    let slot = <i32>(hash(row) & <u64>mask)
    while (unchecked(this.slots[slot]) != 0) {
      const other = this.row(unchecked(this.slots[slot]) - 1)
      if (order(row, other) == 0) return load<i64>(other, 32) == quantity && load<u64>(other, 40) == load<u64>(row, 40) ? 0 : 1
      slot = (slot + 1) & mask
    }
    unchecked((this.slots[slot] = this.count + 1))
    if (this.isSorted && this.count > 0 && order(row, this.row(this.count - 1)) < 0) this.isSorted = false
    this.count += 1
    return 0
  }

  private grow(): void {
    this.capacity = max(this.capacity * 2, 1024)
    const rows = new StaticArray<u64>(this.capacity * words)
    memory.copy(changetype<usize>(rows), changetype<usize>(this.rows), <usize>this.count * rowBytes)
    this.rows = rows
    this.slots = new StaticArray<i32>(this.capacity * 2)
    this.index()
  }
  private index(): void {
    memory.fill(changetype<usize>(this.slots), 0, <usize>this.slots.length << 2)
    const mask = this.slots.length - 1
    for (let i = 0; i < this.count; i += 1) {
      let slot = <i32>(hash(this.row(i)) & <u64>mask)
      while (unchecked(this.slots[slot]) != 0) slot = (slot + 1) & mask
      unchecked((this.slots[slot] = i + 1))
    }
  }

  /** Forgets what was added since there were so many. */
  cut(count: i32): void {
    this.count = count
    this.isSorted = false
    this.index()
  }

  get bytes(): i32 {
    return this.count * <i32>rowBytes
  }
  save(writer: Writer): void {
    writer.u32(u32(this.hasDropped))
    for (let i = 0; i < words; i += 1) writer.u64(this.dropped[i])
    writer.u32(<u32>this.count)
    writer.raw(changetype<usize>(this.rows), this.count * <i32>rowBytes)
  }
  load(reader: Reader): void {
    const hasDropped = reader.u32() != 0
    for (let i = 0; i < words; i += 1) this.dropped[i] = reader.u64()
    const count = reader.count(48)
    if (count > Window.max) reader.isBad = true
    for (let i = 0; i < count && !reader.isBad; i += 1) {
      const at = <i64>reader.u64()
      const high = reader.u64()
      const low = reader.u64()
      const meter = <u32>reader.u64()
      const quantity = <i64>reader.u64()
      const pair = reader.u64()
      if (this.add(at, high, low, meter, quantity, <i32>pair, <i32>(pair >> 32)) != 0) reader.isBad = true
    }
    this.hasDropped = hasDropped
  }

  sort(): void {
    if (this.isSorted) return
    const places = new Array<i32>(this.count)
    for (let i = 0; i < this.count; i += 1) places[i] = i
    sorted = this
    places.sort((a, b) => (sorted as Window).compare(a, b))
    sorted = null
    const rows = new StaticArray<u64>(this.capacity * words)
    for (let i = 0; i < this.count; i += 1) memory.copy(changetype<usize>(rows) + <usize>i * rowBytes, this.row(places[i]), rowBytes)
    this.rows = rows
    this.isSorted = true
    this.index()
  }
  compare(a: i32, b: i32): i32 {
    return order(this.row(a), this.row(b))
  }

  /** Forgets the first rows, for good: nothing up to the last of them is taken again. */
  drop(count: i32): void {
    memory.copy(changetype<usize>(this.dropped), this.row(count - 1), rowBytes)
    this.hasDropped = true
    memory.copy(this.row(0), this.row(count), <usize>(this.count - count) * rowBytes)
    this.count -= count
    this.index()
  }
}

const words = 6
const rowBytes: usize = 48

function order(a: usize, b: usize): i32 {
  const at = load<i64>(a)
  const other = load<i64>(b)
  if (at != other) return at < other ? -1 : 1
  for (let word: usize = 8; word <= 24; word += 8) {
    const left = load<u64>(a + word)
    const right = load<u64>(b + word)
    if (left != right) return left < right ? -1 : 1
  }
  return 0
}

function hash(row: usize): u64 {
  let value = load<u64>(row, 16) * 0x9e3779b97f4a7c15
  value ^= load<u64>(row, 8) + (value >> 29)
  value *= 0xbf58476d1ce4e5b9
  value ^= load<u64>(row) + (load<u64>(row, 24) << 50) + (value >> 32)
  value *= 0x94d049bb133111eb
  return value ^ (value >> 31)
}
