/** What a step of an optimiser is in `bitexact`; what is worked on is replaced in place. */
import { dot } from "../reduce/reduce.ts"

const f = Math.fround

const decayed = (dw: number, w: number, decay: number): number => (decay === 0 ? dw : f(dw + f(f(decay) * w)))

export function sgd(w: Float32Array, dw: Float32Array, { decay, rate }: { readonly rate: number; readonly decay: number }): void {
  w.forEach((value, i) => (w[i] = value - f(f(rate) * decayed(dw[i] as number, value, decay))))
}

export interface MomentumStep {
  readonly rate: number
  readonly momentum: number
  readonly decay: number
  readonly isNesterov: boolean
}

export function momentum(w: Float32Array, v: Float32Array, dw: Float32Array, of: MomentumStep): void {
  const keep = f(of.momentum)
  w.forEach((value, i) => {
    const g = decayed(dw[i] as number, value, of.decay)
    const velocity = f(f(keep * (v[i] as number)) + g)
    v[i] = velocity
    w[i] = value - f(f(of.rate) * (of.isNesterov ? f(f(keep * velocity) + g) : velocity))
  })
}

export interface AdamStep {
  readonly rate: number
  readonly beta1: number
  readonly beta2: number
  readonly epsilon: number
  readonly decay: number
  readonly isDecoupled: boolean
}

/** `powers` are those of both betas before the step, and are multiplied by them first. */
export function adam(w: Float32Array, m: Float32Array, v: Float32Array, powers: Float32Array, dw: Float32Array, of: AdamStep): void {
  const [rate, beta1, beta2, epsilon, decay] = [of.rate, of.beta1, of.beta2, of.epsilon, of.decay].map(f) as [number, number, number, number, number]
  powers[0] = (powers[0] as number) * beta1
  powers[1] = (powers[1] as number) * beta2
  const [c1, c2] = [f(1 - (powers[0] as number)), f(1 - (powers[1] as number))]
  w.forEach((value, i) => {
    const g = decayed(dw[i] as number, value, of.isDecoupled ? 0 : decay)
    const from = of.isDecoupled && decay !== 0 ? f(value - f(f(rate * decay) * value)) : value
    const first = f(f(beta1 * (m[i] as number)) + f(f(1 - beta1) * g))
    const second = f(f(beta2 * (v[i] as number)) + f(f(f(1 - beta2) * g) * g))
    m[i] = first
    v[i] = second
    w[i] = from - f(rate * f(f(first / c1) / f(f(Math.sqrt(f(second / c2))) + epsilon)))
  })
}

export function lerp(y: Float32Array, x: Float32Array, weight: number): void {
  y.forEach((value, i) => (y[i] = value + f(f(weight) * f((x[i] as number) - value))))
}

/** The root of the sum of all arrays' sums of squares; where it is over `most`, all are multiplied by their quotient. */
export function clipByNorm(gradients: ReadonlyArray<Float32Array>, most: number): number {
  const norm = f(Math.sqrt(gradients.reduce((sum, one) => f(sum + dot(one, one)), 0)))
  if (norm > most) for (const one of gradients) one.forEach((value, i) => (one[i] = value * f(f(most) / norm)))
  return norm
}
