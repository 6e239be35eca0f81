/** What gradients of elementary functions are in `bitexact`; each step is one rounding to float, but for erf, whose doubles are rounded once. */
import { erfDouble, exp, type MapName, type MapWithName, sigmoid, tanh } from "./math.ts"

const f = Math.fround

const within = (x: number, most: number): number => Math.min(Math.max(x, -most), most)

function geluSlope(of: number): number {
  const x = within(of, 15)
  const below = f(0.5 * (1 + erfDouble(x * Math.SQRT1_2)))
  return f(below + f(x * f(exp(f(f(x * x) * -0.5)) * f(0.3989422804))))
}

const scale = f(0.7978845608)

function geluTanhSlope(of: number): number {
  const x = within(of, 15)
  const square = f(x * x)
  const t = tanh(f(scale * f(x + f(f(0.044715) * f(square * x)))))
  const slope = f(scale * f(1 + f(f(0.134145) * square)))
  return f(f(0.5 * f(1 + t)) + f(f(f(0.5 * x) * f(1 - f(t * t))) * slope))
}

function siluSlope(of: number): number {
  const x = within(of, 128)
  const s = sigmoid(x)
  return f(s * f(1 + f(x * f(1 - s))))
}

interface Gradient {
  /** Of which it is taken: what the function gave, `y`, or what it was given, `x`. */
  readonly of: "x" | "y"
  /** `dy · f'`; `a` and `b` are the parameters of functions that have some. */
  readonly at: (of: number, dy: number, a: number, b: number) => number
}

const given = (at: Gradient["at"]): Gradient => ({ of: "x", at })
const gave = (at: Gradient["at"]): Gradient => ({ of: "y", at })

/** Of functions of `math.ts` that have one worth a kernel. At 0, where left and right differ, it is the left one; of relu and abs it is 0. */
export const gradients = {
  none: given((_, dy) => dy),
  relu: gave((y, dy) => (y > 0 ? dy : 0)),
  sigmoid: gave((y, dy) => f(dy * f(y * f(1 - y)))),
  tanh: gave((y, dy) => f(dy * f(1 - f(y * y)))),
  gelu: given((x, dy) => f(dy * geluSlope(x))),
  geluTanh: given((x, dy) => f(dy * geluTanhSlope(x))),
  silu: given((x, dy) => f(dy * siluSlope(x))),
  exp: gave((y, dy) => f(dy * y)),
  log: given((x, dy) => f(dy / x)),
  erf: given((x, dy) => f(dy * f(f(1.128379167) * exp(-f(x * x))))),
  sqrt: gave((y, dy) => f(dy / f(y + y))),
  abs: given((x, dy) => (x > 0 ? dy : x < 0 ? -dy : 0)),
  neg: given((_, dy) => -dy),
  softsign: given((x, dy) => f(f(dy / f(1 + Math.abs(x))) / f(1 + Math.abs(x)))),
  softplus: given((x, dy) => f(dy * sigmoid(x))),
  selu: given((x, dy) => f(dy * (x > 0 ? f(1.0507009873554805) : f(f(1.7580993408473766) * exp(x))))),
  leakyRelu: given((x, dy, a) => (x > 0 ? dy : f(dy * f(a)))),
  elu: given((x, dy, a) => (x > 0 ? dy : f(dy * f(f(a) * exp(x))))),
  hardSigmoid: given((x, dy, a, b) => {
    const y = f(f(f(a) * x) + f(b))
    return y > 0 && y < 1 ? f(dy * f(a)) : 0
  }),
  clip: given((x, dy, a, b) => (x >= f(a) && x <= f(b) ? dy : 0)),
} as const satisfies Partial<Record<MapName | MapWithName, Gradient>>
export type GradientName = keyof typeof gradients
export const gradientNames = Object.keys(gradients) as ReadonlyArray<GradientName>
