/** What attention and its gradients are in `bitexact`: products, a softmax and products, head by head. */
import { matmul } from "../matmul/matmul.ts"
import { softmaxBackward } from "../normalize/backward.ts"
import { softmax } from "../normalize/normalize.ts"

const f = Math.fround

export interface AttentionShape {
  readonly heads: number
  readonly queries: number
  readonly keys: number
  readonly d: number
  readonly width: number
  readonly scale?: number
}

export interface AttentionOperands {
  /** `[heads, queries, d]` */
  readonly q: Float32Array
  /** `[heads, keys, d]` */
  readonly k: Float32Array
  /** `[heads, keys, width]` */
  readonly v: Float32Array
  /** `[queries, keys]` */
  readonly mask?: Float32Array
}

const scaleOf = ({ d, scale }: AttentionShape): number => f(scale ?? f(1 / f(Math.sqrt(d))))

/** Part `head` of so many that are alike. */
const part = (of: Float32Array, head: number, size: number): Float32Array => of.subarray(head * size, (head + 1) * size)

const byRow = (x: Float32Array, n: number, map: (row: Float32Array, at: number) => Float32Array): Float32Array => {
  const out = new Float32Array(x.length)
  for (let at = 0; at < x.length; at += n) out.set(map(x.subarray(at, at + n), at), at)
  return out
}

export function attention(shape: AttentionShape, { k, mask, q, v }: AttentionOperands): { readonly out: Float32Array; readonly weights: Float32Array } {
  const { d, heads, keys, queries, width } = shape
  const out = new Float32Array(heads * queries * width)
  const weights = new Float32Array(heads * queries * keys)
  for (let head = 0; head < heads; head++) {
    const raw = matmul({ m: queries, k: d, n: keys, a: part(q, head, queries * d), b: part(k, head, keys * d), isTransposedB: true })
    const scores = raw.map((value, i) => (mask === undefined ? value * scaleOf(shape) : f(value * scaleOf(shape)) + (mask[i] as number)))
    weights.set(byRow(scores, keys, softmax), head * queries * keys)
    const a = part(weights, head, queries * keys)
    out.set(matmul({ m: queries, k: keys, n: width, a, b: part(v, head, keys * width) }), head * queries * width)
  }
  return { out, weights }
}

export interface AttentionGradients {
  readonly dq: Float32Array
  readonly dk: Float32Array
  readonly dv: Float32Array
}

/** By the weights that `attention` gave. */
export function attentionBackward(shape: AttentionShape, { k, q, v }: AttentionOperands, weights: Float32Array, dy: Float32Array): AttentionGradients {
  const { d, heads, keys, queries, width } = shape
  const [dq, dk, dv] = [new Float32Array(q.length), new Float32Array(k.length), new Float32Array(v.length)]
  for (let head = 0; head < heads; head++) {
    const [p, of] = [part(weights, head, queries * keys), part(dy, head, queries * width)]
    dv.set(matmul({ m: keys, k: queries, n: width, a: p, b: of, isTransposedA: true }), head * keys * width)
    const dp = matmul({ m: queries, k: width, n: keys, a: of, b: part(v, head, keys * width), isTransposedB: true })
    const scores = byRow(dp, keys, (row, at) => softmaxBackward(p.subarray(at, at + keys), row)).map((value) => value * scaleOf(shape))
    dq.set(matmul({ m: queries, k: keys, n: d, a: scores, b: part(k, head, keys * d) }), head * queries * d)
    dk.set(matmul({ m: keys, k: queries, n: d, a: scores, b: part(q, head, queries * d), isTransposedA: true }), head * keys * d)
  }
  return { dq, dk, dv }
}
