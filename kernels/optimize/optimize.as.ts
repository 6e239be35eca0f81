/**
 * A step of an optimiser over `n` parameters, in place; and averages that follow a number. `decay`, of weights, is added to the gradient as `decay · w`, unless it is 0.
 */
import { loaded, madd, settled, stored } from "../simd.as"

@inline function decayed(dw: v128, w: v128, decay: f32): v128 {
  return decay == 0 ? dw : madd(f32x4.splat(decay), w, dw)
}

/** `w -= rate · g`. */
export function sgdF32(w: usize, dw: usize, n: i32, rate: f32, decay: f32): void {
  const by = f32x4.splat(-rate)
  for (const end = w + (<usize>n << 2); w < end; ) {
    const isWhole = w + 16 <= end
    const from = loaded(w, isWhole)
    stored(w, settled(madd(by, decayed(loaded(dw, isWhole), from, decay), from)), isWhole)
    const part: usize = isWhole ? 16 : 4
    w += part
    dw += part
  }
}

/** `v = momentum · v + g`, `w -= rate · v`; after Nesterov `w -= rate · (momentum · v + g)`. */
export function momentumF32(w: usize, v: usize, dw: usize, n: i32, rate: f32, momentum: f32, decay: f32, isNesterov: bool): void {
  const by = f32x4.splat(-rate)
  const keep = f32x4.splat(momentum)
  for (const end = w + (<usize>n << 2); w < end; ) {
    const isWhole = w + 16 <= end
    const from = loaded(w, isWhole)
    const g = decayed(loaded(dw, isWhole), from, decay)
    const velocity = settled(madd(keep, loaded(v, isWhole), g))
    stored(v, velocity, isWhole)
    stored(w, settled(madd(by, isNesterov ? madd(keep, velocity, g) : velocity, from)), isWhole)
    const part: usize = isWhole ? 16 : 4
    w += part
    v += part
    dw += part
  }
}

/**
 * Kingma and Ba, "Adam" (2015), Algorithm 1: `m = β₁ m + (1 - β₁) g`, `v = β₂ v + (1 - β₂) g²`, `w -= rate · (m / c₁) / (√(v / c₂) + ε)`, where `c₁` and `c₂` are 1 less the power
 * of β. `isDecoupled`: the decay takes `rate · decay · w` from w first, and none of it is in g (Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2019).
 */
export function adamF32(
  w: usize,
  m: usize,
  v: usize,
  dw: usize,
  n: i32,
  rate: f32,
  beta1: f32,
  beta2: f32,
  epsilon: f32,
  decay: f32,
  isDecoupled: bool,
  c1: f32,
  c2: f32,
): void {
  const taken = f32x4.splat(-(rate * decay))
  for (const end = w + (<usize>n << 2); w < end; ) {
    const isWhole = w + 16 <= end
    let from = loaded(w, isWhole)
    const g = decayed(loaded(dw, isWhole), from, isDecoupled ? 0 : decay)
    if (isDecoupled && decay != 0) from = madd(taken, from, from)
    const first = settled(madd(f32x4.splat(beta1), loaded(m, isWhole), f32x4.mul(f32x4.splat(1 - beta1), g)))
    const second = settled(madd(f32x4.splat(beta2), loaded(v, isWhole), f32x4.mul(f32x4.mul(f32x4.splat(1 - beta2), g), g)))
    stored(m, first, isWhole)
    stored(v, second, isWhole)
    const root = f32x4.add(f32x4.sqrt(f32x4.div(second, f32x4.splat(c2))), f32x4.splat(epsilon))
    stored(w, settled(madd(f32x4.splat(-rate), f32x4.div(f32x4.div(first, f32x4.splat(c1)), root), from)), isWhole)
    const part: usize = isWhole ? 16 : 4
    w += part
    m += part
    v += part
    dw += part
  }
}

/** `y += weight · (x - y)`. */
export function lerpF32(y: usize, x: usize, n: i32, weight: f32): void {
  const by = f32x4.splat(weight)
  for (const end = y + (<usize>n << 2); y < end; ) {
    const isWhole = y + 16 <= end
    const from = loaded(y, isWhole)
    stored(y, settled(madd(by, f32x4.sub(loaded(x, isWhole), from), from)), isWhole)
    const part: usize = isWhole ? 16 : 4
    y += part
    x += part
  }
}
