/**
 * SHA-256 (FIPS 180-4) of four messages at a time, a lane each: what a leaf of a hash tree is, or a receipt. Messages of one length lie one behind the
 * other. For long ones the platform's own is faster, whose processor has instructions for it.
 */

const constants = memory.data<u32>([
  0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74,
  0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d,
  0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e,
  0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5,
  0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
])
/** The schedule: 64 words of four lanes. */
const schedule = memory.data(64 * 16, 16)
/** A block of each lane where its message ends, padded. */
const padded = memory.data(4 * 64, 16)

@inline function turned(v: v128, bits: i32): v128 {
  return v128.or(i32x4.shr_u(v, bits), i32x4.shl(v, 32 - bits))
}

/** Four words of four lanes, from big-endian bytes, each lane's at its place. */
@inline function take(to: usize, a: usize, b: usize, c: usize, d: usize): void {
  const r0 = swapped(v128.load(a))
  const r1 = swapped(v128.load(b))
  const r2 = swapped(v128.load(c))
  const r3 = swapped(v128.load(d))
  const p0 = v128.shuffle<i32>(r0, r1, 0, 4, 1, 5)
  const p1 = v128.shuffle<i32>(r0, r1, 2, 6, 3, 7)
  const q0 = v128.shuffle<i32>(r2, r3, 0, 4, 1, 5)
  const q1 = v128.shuffle<i32>(r2, r3, 2, 6, 3, 7)
  v128.store(to, v128.shuffle<f64>(p0, q0, 0, 2))
  v128.store(to, v128.shuffle<f64>(p0, q0, 1, 3), 16)
  v128.store(to, v128.shuffle<f64>(p1, q1, 0, 2), 32)
  v128.store(to, v128.shuffle<f64>(p1, q1, 1, 3), 48)
}

@inline function swapped(v: v128): v128 {
  return i8x16.shuffle(v, v, 3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12)
}

let h0: v128 = i32x4.splat(0)
let h1: v128 = i32x4.splat(0)
let h2: v128 = i32x4.splat(0)
let h3: v128 = i32x4.splat(0)
let h4: v128 = i32x4.splat(0)
let h5: v128 = i32x4.splat(0)
let h6: v128 = i32x4.splat(0)
let h7: v128 = i32x4.splat(0)

/** One block of each lane. */
function blocks(at0: usize, at1: usize, at2: usize, at3: usize): void {
  for (let word: usize = 0; word < 64; word += 16) take(schedule + word * 4, at0 + word, at1 + word, at2 + word, at3 + word)
  for (let w = schedule + 256; w < schedule + 1024; w += 16) {
    const two = v128.load(w - 32)
    const fifteen = v128.load(w - 240)
    const s1 = v128.xor(v128.xor(turned(two, 17), turned(two, 19)), i32x4.shr_u(two, 10))
    const s0 = v128.xor(v128.xor(turned(fifteen, 7), turned(fifteen, 18)), i32x4.shr_u(fifteen, 3))
    v128.store(w, i32x4.add(i32x4.add(s1, v128.load(w - 112)), i32x4.add(s0, v128.load(w - 256))))
  }
  let a = h0
  let b = h1
  let c = h2
  let d = h3
  let e = h4
  let f = h5
  let g = h6
  let h = h7
  for (let i: usize = 0; i < 64; i++) {
    const big1 = v128.xor(v128.xor(turned(e, 6), turned(e, 11)), turned(e, 25))
    const choice = v128.bitselect(f, g, e)
    const t1 = i32x4.add(i32x4.add(i32x4.add(h, big1), choice), i32x4.add(v128.load32_splat(constants + (i << 2)), v128.load(schedule + (i << 4))))
    const big0 = v128.xor(v128.xor(turned(a, 2), turned(a, 13)), turned(a, 22))
    // Where a and b differ, c decides.
    const majority = v128.bitselect(c, a, v128.xor(a, b))
    const next = i32x4.add(t1, i32x4.add(big0, majority))
    h = g
    g = f
    f = e
    e = i32x4.add(d, t1)
    d = c
    c = b
    b = a
    a = next
  }
  h0 = i32x4.add(h0, a)
  h1 = i32x4.add(h1, b)
  h2 = i32x4.add(h2, c)
  h3 = i32x4.add(h3, d)
  h4 = i32x4.add(h4, e)
  h5 = i32x4.add(h5, f)
  h6 = i32x4.add(h6, g)
  h7 = i32x4.add(h7, h)
}

/** The end of a message and its padding, as one block of two. */
function pad(to: usize, message: usize, from: i32, length: i32): void {
  memory.fill(to, 0, 64)
  const rest = length - from
  if (rest > 0) memory.copy(to, message + <usize>from, <usize>min(rest, 64))
  if (rest >= 0 && rest < 64) store<u8>(to + <usize>rest, 0x80)
  if (rest < 56) {
    store<u32>(to, bswap<u32>(<u32>length >> 29), 56)
    store<u32>(to, bswap<u32>(<u32>length << 3), 60)
  }
}

/** Digests of `count` messages of `length` bytes each to `out`, 32 bytes each. */
export function sha256Batch(out: usize, messages: usize, length: i32, count: i32): void {
  for (; count > 0; count -= 4) {
    // Lanes that have no message of their own do the last one's again.
    const m1 = messages + <usize>(min(1, count - 1) * length)
    const m2 = messages + <usize>(min(2, count - 1) * length)
    const m3 = messages + <usize>(min(3, count - 1) * length)
    h0 = i32x4.splat(0x6a09e667)
    h1 = i32x4.splat(0xbb67ae85)
    h2 = i32x4.splat(0x3c6ef372)
    h3 = i32x4.splat(0xa54ff53a)
    h4 = i32x4.splat(0x510e527f)
    h5 = i32x4.splat(0x9b05688c)
    h6 = i32x4.splat(0x1f83d9ab)
    h7 = i32x4.splat(0x5be0cd19)
    let from = 0
    for (; from + 64 <= length; from += 64) blocks(messages + <usize>from, m1 + <usize>from, m2 + <usize>from, m3 + <usize>from)
    for (const end = (length + 72) & ~63; from < end; from += 64) {
      pad(padded, messages, from, length)
      pad(padded + 64, m1, from, length)
      pad(padded + 128, m2, from, length)
      pad(padded + 192, m3, from, length)
      blocks(padded, padded + 64, padded + 128, padded + 192)
    }
    finish(out, count)
    out += 128
    messages += <usize>length << 2
  }
}

/** Words of four lanes as four digests. */
function finish(out: usize, count: i32): void {
  v128.store(schedule, h0)
  v128.store(schedule, h1, 16)
  v128.store(schedule, h2, 32)
  v128.store(schedule, h3, 48)
  v128.store(schedule, h4, 64)
  v128.store(schedule, h5, 80)
  v128.store(schedule, h6, 96)
  v128.store(schedule, h7, 112)
  for (let lane = 0; lane < min(4, count); lane++)
    for (let word: usize = 0; word < 8; word++, out += 4) store<u32>(out, bswap<u32>(load<u32>(schedule + (word << 4) + (<usize>lane << 2))))
}
