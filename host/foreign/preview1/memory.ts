/**
 * The guest's memory as preview 1 lays values out in it: little-endian, at any address that lies inside. Alignment is not
 * asked for, as in `node:wasi`: a program that runs there runs here. An address outside is a broken program and traps;
 * bytes read are charged before they are read, bytes written are counted.
 */
import type { AbiContext } from "../../abi/context.ts"
import { charge, checkRange } from "../../abi/memory.ts"
import type { CoreValue } from "../../abi/number.ts"
import { refuse } from "./errno.ts"

/** An `i32` of the guest as the unsigned number it is: an address, a length, a descriptor, flags. */
export const unsigned = (value: CoreValue | undefined): number => (value as number) >>> 0

/** An `i64` of the guest as unsigned. */
export const unsigned64 = (value: CoreValue | undefined): bigint => BigInt.asUintN(64, value as bigint)

export function readU8(cx: AbiContext, at: number): number {
  checkRange(cx, at, 1, 1)
  charge(cx, 1)
  return cx.u8[at] as number
}

export function readU16(cx: AbiContext, at: number): number {
  checkRange(cx, at, 2, 1)
  charge(cx, 2)
  return (cx.u8[at] as number) | ((cx.u8[at + 1] as number) << 8)
}

export function readU32(cx: AbiContext, at: number): number {
  checkRange(cx, at, 4, 1)
  charge(cx, 4)
  return u32At(cx, at)
}

const u32At = ({ u8 }: AbiContext, at: number): number =>
  ((u8[at] as number) | ((u8[at + 1] as number) << 8) | ((u8[at + 2] as number) << 16) | ((u8[at + 3] as number) << 24)) >>> 0

export function readU64(cx: AbiContext, at: number): bigint {
  checkRange(cx, at, 8, 1)
  charge(cx, 8)
  return (BigInt(u32At(cx, at + 4)) << 32n) | BigInt(u32At(cx, at))
}

export function writeU8(cx: AbiContext, at: number, value: number): void {
  checkRange(cx, at, 1, 1)
  cx.budget.bytesIn += 1
  cx.u8[at] = value
}

export function writeU16(cx: AbiContext, at: number, value: number): void {
  writeU8(cx, at, value)
  writeU8(cx, at + 1, value >>> 8)
}

export function writeU32(cx: AbiContext, at: number, value: number): void {
  checkRange(cx, at, 4, 1)
  cx.budget.bytesIn += 4
  const { u8 } = cx
  u8[at] = value
  u8[at + 1] = value >>> 8
  u8[at + 2] = value >>> 16
  u8[at + 3] = value >>> 24
}

export function writeU64(cx: AbiContext, at: number, value: bigint): void {
  writeU32(cx, at, Number(value & 0xffff_ffffn))
  writeU32(cx, at + 4, Number((value >> 32n) & 0xffff_ffffn))
}

export function writeBytes(cx: AbiContext, at: number, bytes: Uint8Array): void {
  checkRange(cx, at, bytes.length, 1)
  cx.budget.bytesIn += bytes.length
  cx.u8.set(bytes, at)
}

/** Zeroes, for what a structure has between its fields. */
export function clear(cx: AbiContext, at: number, bytes: number): void {
  checkRange(cx, at, bytes, 1)
  cx.budget.bytesIn += bytes
  cx.u8.fill(0, at, at + bytes)
}

/** Bytes of a path, and of any of its parts: PATH_MAX, as Linux and wasi-libc have it. */
export const pathBytesMax = 4_096

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

/** A path of the guest: UTF-8 without a zero byte, not empty ends as the caller says. */
export function readPath(cx: AbiContext, at: number, length: number): string {
  checkRange(cx, at, length, 1)
  if (length > pathBytesMax) refuse("nametoolong")
  charge(cx, length)
  const bytes = cx.u8.subarray(at, at + length)
  // A system call below would take what stands before the zero for the whole path.
  if (bytes.includes(0)) refuse("ilseq")
  try {
    return utf8.decode(bytes)
  } catch {
    return refuse("ilseq")
  }
}

/** Buffers that one call may name, IOV_MAX of Linux. */
const buffersMax = 1_024

/** Bytes that one read or write moves at most: a short answer, after which every libc goes on with the rest. */
export const transferBytesMax = 1 << 20

export interface Iovec {
  readonly at: number
  readonly length: number
}

/** The buffers of a read or write that are not empty, cut at `transferBytesMax` in all. Each of them lies in memory, the cut ones too. */
export function readBuffers(cx: AbiContext, at: number, count: number): ReadonlyArray<Iovec> {
  if (count > buffersMax) refuse("inval")
  const buffers: Array<Iovec> = []
  let left = transferBytesMax
  for (let i = 0; i < count; i++) {
    const start = readU32(cx, at + i * 8)
    const length = readU32(cx, at + i * 8 + 4)
    checkRange(cx, start, length, 1)
    const taken = Math.min(length, left)
    left -= taken
    if (taken > 0) buffers.push({ at: start, length: taken })
  }
  return buffers
}

export const lengthOf = (buffers: ReadonlyArray<Iovec>): number => buffers.reduce((sum, { length }) => sum + length, 0)

/** What the guest's buffers hold, one after the other, copied and charged. */
export function gather(cx: AbiContext, buffers: ReadonlyArray<Iovec>): Uint8Array {
  const length = lengthOf(buffers)
  charge(cx, length)
  const bytes = new Uint8Array(length)
  let to = 0
  for (const { at, length: part } of buffers) {
    bytes.set(cx.u8.subarray(at, at + part), to)
    to += part
  }
  return bytes
}

/** Puts bytes into the guest's buffers, one after the other. There is room: nobody read more than `lengthOf` them. */
export function scatter(cx: AbiContext, buffers: ReadonlyArray<Iovec>, bytes: Uint8Array): void {
  let from = 0
  for (const { at, length } of buffers) {
    if (from >= bytes.length) return
    const part = bytes.subarray(from, from + length)
    writeBytes(cx, at, part)
    from += part.length
  }
}
