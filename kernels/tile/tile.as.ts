/**
 * What products of matrices and convolutions are made of, after Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication" (2008): blocks are copied
 * into panels that caches hold, and a micro-kernel multiplies two panels into 6 × 8 numbers that stay in registers: 12 registers of sums, 2 of the right
 * operand and one of the left are 15 of the 16 that x86-64 has.
 *
 * Each number is one sum over k, ascending, from +0. A block of k goes on from what is there; partial sums are never added.
 */
import { madd } from "../simd.as"

@inline export const rows = 6
@inline export const columns = 8
@inline export const panelA: usize = rows * 4
@inline export const panelB: usize = columns * 4

/** Numbers of k in a block: panels of A and B are 6 and 8 times as many. */
@inline export const depthMax: i32 = 384

/** Rows of the left operand that are packed at a time: with a block of k they stay in the second cache. */
@inline export const highMax: i32 = 120

/** 6 × 8 numbers of C: `resume` goes on from those at `c`, else from 0. `stride` is the bytes from a row of C to the next. */
export function tile(a: usize, b: usize, depth: i32, c: usize, stride: usize, resume: bool): void {
  const c1 = c + stride
  const c2 = c1 + stride
  const c3 = c2 + stride
  const c4 = c3 + stride
  const c5 = c4 + stride
  let s00 = f32x4.splat(0)
  let s01 = s00
  let s10 = s00
  let s11 = s00
  let s20 = s00
  let s21 = s00
  let s30 = s00
  let s31 = s00
  let s40 = s00
  let s41 = s00
  let s50 = s00
  let s51 = s00
  if (resume) {
    s00 = v128.load(c)
    s01 = v128.load(c, 16)
    s10 = v128.load(c1)
    s11 = v128.load(c1, 16)
    s20 = v128.load(c2)
    s21 = v128.load(c2, 16)
    s30 = v128.load(c3)
    s31 = v128.load(c3, 16)
    s40 = v128.load(c4)
    s41 = v128.load(c4, 16)
    s50 = v128.load(c5)
    s51 = v128.load(c5, 16)
  }
  for (const end = a + <usize>depth * panelA; a < end; a += panelA, b += panelB) {
    const b0 = v128.load(b)
    const b1 = v128.load(b, 16)
    const a0 = v128.load32_splat(a)
    s00 = madd(a0, b0, s00)
    s01 = madd(a0, b1, s01)
    const a1 = v128.load32_splat(a, 4)
    s10 = madd(a1, b0, s10)
    s11 = madd(a1, b1, s11)
    const a2 = v128.load32_splat(a, 8)
    s20 = madd(a2, b0, s20)
    s21 = madd(a2, b1, s21)
    const a3 = v128.load32_splat(a, 12)
    s30 = madd(a3, b0, s30)
    s31 = madd(a3, b1, s31)
    const a4 = v128.load32_splat(a, 16)
    s40 = madd(a4, b0, s40)
    s41 = madd(a4, b1, s41)
    const a5 = v128.load32_splat(a, 20)
    s50 = madd(a5, b0, s50)
    s51 = madd(a5, b1, s51)
  }
  v128.store(c, s00)
  v128.store(c, s01, 16)
  v128.store(c1, s10)
  v128.store(c1, s11, 16)
  v128.store(c2, s20)
  v128.store(c2, s21, 16)
  v128.store(c3, s30)
  v128.store(c3, s31, 16)
  v128.store(c4, s40)
  v128.store(c4, s41, 16)
  v128.store(c5, s50)
  v128.store(c5, s51, 16)
}

/**
 * 6 × 16 numbers of C, of two panels of B: for engines that join two vectors of 128 bits into one of 256, which have 12 registers of sums then. Others would
 * not have the 24 that it takes, and nobody calls it there (`widen`).
 */
export function tileWide(a: usize, b: usize, d: usize, depth: i32, c: usize, stride: usize, resume: bool): void {
  const c1 = c + stride
  const c2 = c1 + stride
  const c3 = c2 + stride
  const c4 = c3 + stride
  const c5 = c4 + stride
  let s00 = f32x4.splat(0)
  let s01 = s00
  let s02 = s00
  let s03 = s00
  let s10 = s00
  let s11 = s00
  let s12 = s00
  let s13 = s00
  let s20 = s00
  let s21 = s00
  let s22 = s00
  let s23 = s00
  let s30 = s00
  let s31 = s00
  let s32 = s00
  let s33 = s00
  let s40 = s00
  let s41 = s00
  let s42 = s00
  let s43 = s00
  let s50 = s00
  let s51 = s00
  let s52 = s00
  let s53 = s00
  if (resume) {
    s00 = v128.load(c)
    s01 = v128.load(c, 16)
    s02 = v128.load(c, 32)
    s03 = v128.load(c, 48)
    s10 = v128.load(c1)
    s11 = v128.load(c1, 16)
    s12 = v128.load(c1, 32)
    s13 = v128.load(c1, 48)
    s20 = v128.load(c2)
    s21 = v128.load(c2, 16)
    s22 = v128.load(c2, 32)
    s23 = v128.load(c2, 48)
    s30 = v128.load(c3)
    s31 = v128.load(c3, 16)
    s32 = v128.load(c3, 32)
    s33 = v128.load(c3, 48)
    s40 = v128.load(c4)
    s41 = v128.load(c4, 16)
    s42 = v128.load(c4, 32)
    s43 = v128.load(c4, 48)
    s50 = v128.load(c5)
    s51 = v128.load(c5, 16)
    s52 = v128.load(c5, 32)
    s53 = v128.load(c5, 48)
  }
  for (const end = a + <usize>depth * panelA; a < end; a += panelA, b += panelB, d += panelB) {
    const b0 = v128.load(b)
    const b1 = v128.load(b, 16)
    const b2 = v128.load(d)
    const b3 = v128.load(d, 16)
    const a0 = v128.load32_splat(a)
    s00 = madd(a0, b0, s00)
    s01 = madd(a0, b1, s01)
    s02 = madd(a0, b2, s02)
    s03 = madd(a0, b3, s03)
    const a1 = v128.load32_splat(a, 4)
    s10 = madd(a1, b0, s10)
    s11 = madd(a1, b1, s11)
    s12 = madd(a1, b2, s12)
    s13 = madd(a1, b3, s13)
    const a2 = v128.load32_splat(a, 8)
    s20 = madd(a2, b0, s20)
    s21 = madd(a2, b1, s21)
    s22 = madd(a2, b2, s22)
    s23 = madd(a2, b3, s23)
    const a3 = v128.load32_splat(a, 12)
    s30 = madd(a3, b0, s30)
    s31 = madd(a3, b1, s31)
    s32 = madd(a3, b2, s32)
    s33 = madd(a3, b3, s33)
    const a4 = v128.load32_splat(a, 16)
    s40 = madd(a4, b0, s40)
    s41 = madd(a4, b1, s41)
    s42 = madd(a4, b2, s42)
    s43 = madd(a4, b3, s43)
    const a5 = v128.load32_splat(a, 20)
    s50 = madd(a5, b0, s50)
    s51 = madd(a5, b1, s51)
    s52 = madd(a5, b2, s52)
    s53 = madd(a5, b3, s53)
  }
  v128.store(c, s00)
  v128.store(c, s01, 16)
  v128.store(c, s02, 32)
  v128.store(c, s03, 48)
  v128.store(c1, s10)
  v128.store(c1, s11, 16)
  v128.store(c1, s12, 32)
  v128.store(c1, s13, 48)
  v128.store(c2, s20)
  v128.store(c2, s21, 16)
  v128.store(c2, s22, 32)
  v128.store(c2, s23, 48)
  v128.store(c3, s30)
  v128.store(c3, s31, 16)
  v128.store(c3, s32, 32)
  v128.store(c3, s33, 48)
  v128.store(c4, s40)
  v128.store(c4, s41, 16)
  v128.store(c4, s42, 32)
  v128.store(c4, s43, 48)
  v128.store(c5, s50)
  v128.store(c5, s51, 16)
  v128.store(c5, s52, 32)
  v128.store(c5, s53, 48)
}

/** Whether the engine joins two vectors into one. */
let isWide: bool = false

/** Said once, before anything runs, where the engine joins two vectors of 128 bits into one of 256. */
export function widen(): void {
  isWide = true
}

/** Whether `tileWide` takes two panels at once, where so many columns are left. */
@inline export function isPair(left: i32): bool {
  return isWide && left >= 2 * columns
}

/** Copies `high` × `wide` numbers. */
export function copy(to: usize, toStride: usize, from: usize, fromStride: usize, high: i32, wide: i32): void {
  for (; high > 0; high--, to += toStride, from += fromStride) memory.copy(to, from, <usize>wide << 2)
}

/**
 * Rows of A as panels of six, k by k. `across` is the bytes from a row to the next and `along` those from one k to the next. Rows that are not
 * there are zeros; what comes of them is not kept.
 */
export function packA(to: usize, a: usize, across: usize, along: usize, high: i32, depth: i32): void {
  for (; high > 0; high -= rows, a += across * rows) {
    let from = a
    if (high >= rows) {
      let k = depth
      if (along == 4)
        for (; k >= 4; k -= 4, from += 16, to += panelA * 4) {
          const r0 = v128.load(from)
          const r1 = v128.load(from + across)
          const r2 = v128.load(from + across * 2)
          const r3 = v128.load(from + across * 3)
          const r4 = v128.load(from + across * 4)
          const r5 = v128.load(from + across * 5)
          const p0 = v128.shuffle<f32>(r0, r1, 0, 4, 1, 5)
          const p1 = v128.shuffle<f32>(r0, r1, 2, 6, 3, 7)
          const q0 = v128.shuffle<f32>(r2, r3, 0, 4, 1, 5)
          const q1 = v128.shuffle<f32>(r2, r3, 2, 6, 3, 7)
          const s0 = v128.shuffle<f32>(r4, r5, 0, 4, 1, 5)
          const s1 = v128.shuffle<f32>(r4, r5, 2, 6, 3, 7)
          v128.store(to, v128.shuffle<f64>(p0, q0, 0, 2))
          v128.store(to, v128.shuffle<f64>(s0, p0, 0, 3), 16)
          v128.store(to, v128.shuffle<f64>(q0, s0, 1, 3), 32)
          v128.store(to, v128.shuffle<f64>(p1, q1, 0, 2), 48)
          v128.store(to, v128.shuffle<f64>(s1, p1, 0, 3), 64)
          v128.store(to, v128.shuffle<f64>(q1, s1, 1, 3), 80)
        }
      for (; k > 0; k--, from += along, to += panelA) {
        store<f32>(to, load<f32>(from))
        store<f32>(to, load<f32>(from + across), 4)
        store<f32>(to, load<f32>(from + across * 2), 8)
        store<f32>(to, load<f32>(from + across * 3), 12)
        store<f32>(to, load<f32>(from + across * 4), 16)
        store<f32>(to, load<f32>(from + across * 5), 20)
      }
      continue
    }
    for (let k = 0; k < depth; k++, from += along)
      for (let row = 0; row < rows; row++, to += 4) store<f32>(to, row < high ? load<f32>(from + across * row) : 0)
  }
}

/** Columns of B as panels of eight, k by k. `along` is the bytes from one k to the next and `across` those from a column to the next. */
export function packB(to: usize, b: usize, along: usize, across: usize, depth: i32, wide: i32): void {
  for (; wide > 0; wide -= columns, b += across * columns) {
    let from = b
    if (wide >= columns && across == 4) {
      for (let k = 0; k < depth; k++, from += along, to += panelB) {
        v128.store(to, v128.load(from))
        v128.store(to, v128.load(from, 16), 16)
      }
      continue
    }
    if (wide >= columns && along == 4) {
      let k = depth
      for (; k >= 4; k -= 4, from += 16, to += panelB * 4) {
        transpose4(to, from, across)
        transpose4(to + 16, from + across * 4, across)
      }
      for (; k > 0; k--, from += 4) for (let column = 0; column < columns; column++, to += 4) store<f32>(to, load<f32>(from + across * column))
      continue
    }
    for (let k = 0; k < depth; k++, from += along)
      for (let column = 0; column < columns; column++, to += 4) store<f32>(to, column < wide ? load<f32>(from + across * column) : 0)
  }
}

/** Four numbers of four columns each, as four rows of a panel. */
@inline function transpose4(to: usize, from: usize, across: usize): void {
  const r0 = v128.load(from)
  const r1 = v128.load(from + across)
  const r2 = v128.load(from + across * 2)
  const r3 = v128.load(from + across * 3)
  const p0 = v128.shuffle<f32>(r0, r1, 0, 4, 1, 5)
  const p1 = v128.shuffle<f32>(r0, r1, 2, 6, 3, 7)
  const q0 = v128.shuffle<f32>(r2, r3, 0, 4, 1, 5)
  const q1 = v128.shuffle<f32>(r2, r3, 2, 6, 3, 7)
  v128.store(to, v128.shuffle<f64>(p0, q0, 0, 2))
  v128.store(to, v128.shuffle<f64>(p0, q0, 1, 3), 32)
  v128.store(to, v128.shuffle<f64>(p1, q1, 0, 2), 64)
  v128.store(to, v128.shuffle<f64>(p1, q1, 1, 3), 96)
}
