/** Bytes of a snapshot, little-endian: every count is compared with what is left. */
import { Exact } from "./exact.as"

export class Writer {
  private bytes: StaticArray<u8>
  private at: i32 = 0

  /** With room for so many bytes, and for more when there are. */
  constructor(room: i32) {
    this.bytes = new StaticArray<u8>(room)
  }

  private room(size: i32): usize {
    if (this.at + size > this.bytes.length) {
      const bytes = new StaticArray<u8>(max(this.bytes.length * 2, this.at + size))
      memory.copy(changetype<usize>(bytes), changetype<usize>(this.bytes), this.at)
      this.bytes = bytes
    }
    const place = changetype<usize>(this.bytes) + <usize>this.at
    this.at += size
    return place
  }
  u32(value: u32): void {
    store<u32>(this.room(4), value)
  }
  u64(value: u64): void {
    store<u64>(this.room(8), value)
  }
  exact(value: Exact): void {
    this.u64(value.low)
    this.u64(<u64>value.high)
    this.u64(value.under)
    this.u64(value.underHigh)
  }
  text(value: string): void {
    this.u32(<u32>value.length)
    const size = value.length << 1
    memory.copy(this.room(size), changetype<usize>(value), size)
  }
  raw(from: usize, size: i32): void {
    memory.copy(this.room(size), from, size)
  }
  /** What was written so far. */
  end(): StaticArray<u8> {
    const bytes = new StaticArray<u8>(this.at)
    memory.copy(changetype<usize>(bytes), changetype<usize>(this.bytes), this.at)
    return bytes
  }
}

export class Reader {
  isBad: bool = false
  private at: i32 = 0
  constructor(private readonly bytes: StaticArray<u8>) {}

  private take(size: i32): usize {
    if (this.isBad || size < 0 || this.bytes.length - this.at < size) {
      this.isBad = true
      return 0
    }
    const place = changetype<usize>(this.bytes) + <usize>this.at
    this.at += size
    return place
  }
  get isEnd(): bool {
    return this.at == this.bytes.length
  }
  u32(): u32 {
    const place = this.take(4)
    return place == 0 ? 0 : load<u32>(place)
  }
  u64(): u64 {
    const place = this.take(8)
    return place == 0 ? 0 : load<u64>(place)
  }
  /** How many there are of what has so many bytes at least. */
  count(size: i32): i32 {
    const count = this.u32()
    if (!this.isBad && <u64>count * <u64>size > <u64>(this.bytes.length - this.at)) this.isBad = true
    return this.isBad ? 0 : <i32>count
  }
  exact(): Exact {
    const low = this.u64()
    const high = <i64>this.u64()
    const under = this.u64()
    const underHigh = this.u64()
    if ((under | underHigh) == 0 || <i64>underHigh < 0) {
      this.isBad = true
      return Exact.zero
    }
    return new Exact(low, high, under, underHigh)
  }
  text(): string {
    const length = this.count(2)
    const place = this.take(length << 1)
    return place == 0 ? "" : String.UTF16.decodeUnsafe(place, <usize>length << 1)
  }
}
