/** Kernels of tensors against their references: equal bits, on random shapes of up to four dimensions, of every type. */
import t from "tap"
import { elementwise, fold, placeIn, type Values } from "../../kernels/broadcast/broadcast.ts"
import { cast } from "../../kernels/cast/cast.ts"
import { doubleBinary, doubleMaps, matmulF64 } from "../../kernels/double/double.ts"
import { integerMaps, integers } from "../../kernels/integer/integer.ts"
import { type Kernels, openKernels } from "../../kernels/kernels.ts"
import { maps, mapsWith, pow } from "../../kernels/math/math.ts"
import type { Numbers, NumberType } from "../../kernels/memory/memory.ts"
import { moved } from "../../kernels/move/move.ts"
import { laned } from "../../kernels/reduce/reduce.ts"
import { topk } from "../../kernels/select/select.ts"
import { operations } from "../../kernels/tensor/elements.ts"
import { textOf } from "../../kernels/tensor/operands.ts"
import { foldNames } from "../../kernels/tensor/folds.ts"
import { type Tensor, volumeOf } from "../../kernels/tensor/tensor.ts"
import { binary, comparisonNames, comparisons } from "../../kernels/vector/vector.ts"
import { replay, runsOf, seed } from "../seed.ts"
import { Random, randomFloats } from "./random-floats.ts"

t.comment(`${replay} replays`)
const rounds = runsOf(20, 200)
const exact = await openKernels()

type Shape = ReadonlyArray<number>
const ends = [0, 1, -1, 2 ** 31 - 1, -(2 ** 31), 255, 256, -129]

function values(random: Random, type: NumberType, n: number): ArrayLike<number> {
  if (type === "f32") return randomFloats(random, n, 8)
  const whole = () => (random.whole(0, 3) === 0 ? random.pick(ends) : random.word() | 0)
  if (type !== "f64") return Array.from({ length: n }, whole)
  const kinds = [
    Number.NaN,
    -Number.NaN,
    Number.POSITIVE_INFINITY,
    Number.NEGATIVE_INFINITY,
    0,
    -0,
    5e-324,
    -5e-324,
    1.7e308,
    2 ** -14,
    65_519.99999999999,
    65_520,
    1 + 2 ** -11,
  ]
  return Array.from({ length: n }, () =>
    random.whole(0, 9) < 2
      ? random.pick(kinds)
      : (random.word() / 2 ** 31 - 1 + random.word() / 2 ** 62) * 2 ** (random.whole(0, 3) === 0 ? random.whole(-30, 40) : 0),
  )
}

/** With the numbers as they are after they were stored. */
function made(kernels: Kernels, random: Random, type: NumberType, shape: Shape): { readonly tensor: Tensor; readonly values: Values } {
  const tensor = kernels.tensor(type, shape, values(random, type, volumeOf(shape)))
  return { tensor, values: { shape, values: tensor.numbers.array.slice() } }
}

const buffers = { f32: Float32Array, f64: Float64Array, i32: Int32Array, u16: Uint16Array, i8: Int8Array, u8: Uint8Array } as const
const wordsOf = (array: ArrayBufferView): Uint8Array => new Uint8Array(array.buffer, array.byteOffset, array.byteLength)

/** Whether all bits are these, NaN being the canonical one. */
function isSame(found: Numbers, expected: ReadonlyArray<number>): boolean {
  const wanted = new buffers[found.type](expected)
  if (found.type === "f32") expected.forEach((value, i) => Number.isNaN(value) && new Uint32Array(wanted.buffer).fill(0x7fc00000, i, i + 1))
  if (found.type === "f64") expected.forEach((value, i) => Number.isNaN(value) && new BigUint64Array(wanted.buffer).fill(0x7ff8000000000000n, i, i + 1))
  const [a, b] = [wordsOf(found.array), wordsOf(wanted)]
  return a.length === b.length && a.every((byte, i) => byte === b[i])
}

const shapeOf = (random: Random, rank = random.whole(0, 4)): Shape =>
  Array.from({ length: rank }, () => (random.whole(0, 40) === 0 ? 0 : random.pick([1, 2, 3, 4, 5, 7, rank === 1 ? random.whole(200, 700) : 9])))
/** One that goes with it: some dimensions of 1, some missing. */
const narrower = (random: Random, shape: Shape): Shape =>
  shape.slice(random.whole(0, 2) === 0 ? random.whole(0, shape.length) : 0).map((size) => (random.whole(0, 2) === 0 ? 1 : size))

const freed = (...all: ReadonlyArray<Tensor>): void => all.forEach((one) => one.numbers.free())

const functions: Readonly<Record<string, Readonly<Record<string, (x: number, y: number) => number>>>> = {
  f32: { ...binary, pow, prelu: (x, y) => (x >= 0 ? x : Math.fround(x * y)) },
  f64: doubleBinary,
  i32: { ...integers, div: (x, y) => (x / y) | 0, rem: (x, y) => (x % y) | 0 },
}

t.test("operations of two tensors, comparisons and choices, of shapes that go together", (t) => {
  const random = new Random(seed + 20)
  for (let round = 0; round < rounds * 2; round++) {
    const shape = shapeOf(random)
    for (const type of ["f32", "f64", "i32", "u16"] as const) {
      // Each dimension is there in one of the two.
      const [a, b] = random.whole(0, 1) === 0 ? [shape, narrower(random, shape)] : [narrower(random, shape), shape]
      const [x, y] = [made(exact, random, type, a), made(exact, random, type, b)]
      const out = exact.tensor(type, shape)
      const real = type === "u16" ? "f32" : type
      const wide = (of: Values): Values => (type === "u16" ? { ...of, values: Array.from(of.values, (bits) => cast("f32", "u16", bits)) } : of)
      const check = (name: string, found: Tensor, f: (x: number, y: number) => number): void => {
        const expected = elementwise(shape, [wide(x.values), wide(y.values)], f)
        const rounded = found === out && type === "u16" ? expected.map((value) => cast("u16", "f32", value)) : expected
        if (!isSame(found.numbers, rounded)) t.fail(`${name} of ${type} ${textOf(a)} and ${textOf(b)}: ${found.numbers.array.join()}, not ${rounded.join()}`)
      }
      for (const name of operations[real]) {
        if (name === "div" || name === "rem")
          if (type === "i32") (y.tensor.numbers.array as Int32Array).forEach((value, i, all) => (all[i] = value === 0 ? -1 : value))
        const now = { ...y.values, values: y.tensor.numbers.array.slice() }
        exact.elements.binary(name, out, x.tensor, y.tensor)
        const expected = elementwise(shape, [wide(x.values), wide(now)], functions[real]?.[name] as () => number)
        const rounded = type === "u16" ? expected.map((value) => cast("u16", "f32", value)) : expected
        if (!isSame(out.numbers, rounded)) t.fail(`${name} of ${type} ${textOf(a)} and ${textOf(b)}`)
      }
      y.tensor.numbers.array.set(y.values.values as Float32Array)
      const mask = exact.tensor("i32", shape)
      for (const order of comparisonNames) {
        exact.elements.compare(order, mask, x.tensor, y.tensor)
        check(order, mask, (v, w) => Number(comparisons[order](v, w)))
      }
      freed(x.tensor, y.tensor, out, mask)
    }
    for (const type of ["f32", "f64", "i32", "u16", "i8", "u8"] as const) {
      const shapes = [shape, narrower(random, shape), narrower(random, shape)].sort(() => random.whole(0, 1) - 0.5) as [Shape, Shape, Shape]
      const mask = exact.tensor(
        "i32",
        shapes[0],
        Array.from({ length: volumeOf(shapes[0]) }, () => random.pick([0, 1, -7])),
      )
      const [x, y, out] = [made(exact, random, type, shapes[1]), made(exact, random, type, shapes[2]), exact.tensor(type, shape)]
      exact.elements.where(out, mask, x.tensor, y.tensor)
      const places = (of: Shape): Values => ({ shape: of, values: Array.from({ length: volumeOf(of) }, (_, i) => i) })
      const expected = elementwise(shape, [{ shape: shapes[0], values: mask.numbers.array }, places(shapes[1]), places(shapes[2])], (m, v, w) =>
        m === 0 ? -1 - w : v,
      )
      // By bits: a choice changes none.
      const size = out.numbers.array.BYTES_PER_ELEMENT
      const bytes = wordsOf(out.numbers.array)
      const isRight = expected.every((from, place) => {
        const source = wordsOf((from < 0 ? y : x).tensor.numbers.array)
        const at = (from < 0 ? -1 - from : from) * size
        return Array.from({ length: size }, (_, i) => bytes[place * size + i] === source[at + i]).every(Boolean)
      })
      if (!isRight) t.fail(`where of ${type} ${JSON.stringify(shapes)}`)
      freed(mask, x.tensor, y.tensor, out)
    }
  }
  t.pass()
  t.end()
})

t.test("rows that are longer than the blocks in which what stays is written down", (t) => {
  const random = new Random(seed + 21)
  for (const n of [255, 256, 257, 513, 1_000])
    for (const type of ["f32", "f64", "i32"] as const) {
      const [x, y, out] = [made(exact, random, type, [3, n]), made(exact, random, type, [3, 1]), exact.tensor(type, [3, n])]
      exact.elements.binary("sub", out, x.tensor, y.tensor)
      t.ok(isSame(out.numbers, elementwise([3, n], [x.values, y.values], functions[type]?.["sub"] as () => number)), `${type} ${n}`)
      exact.elements.binary("sub", x.tensor, y.tensor, x.tensor)
      t.ok(isSame(x.tensor.numbers, elementwise([3, n], [y.values, x.values], functions[type]?.["sub"] as () => number)), `${type} ${n} in place`)
      freed(x.tensor, y.tensor, out)
    }
  t.end()
})

t.test("functions by type, and casts between all types", (t) => {
  const random = new Random(seed + 22)
  const types = ["f32", "f64", "u16", "i32", "i8", "u8"] as const
  for (let round = 0; round < rounds; round++) {
    const shape = shapeOf(random)
    for (const [type, of] of [
      ["f64", doubleMaps],
      ["i32", integerMaps],
      ["u16", { ...maps, clip: (x: number) => mapsWith.clip(x, -0.5, 0.25) }],
    ] as const) {
      const [x, out] = [made(exact, random, type, shape), exact.tensor(type, shape)]
      for (const [name, f] of Object.entries(of)) {
        exact.elements.map(name as "abs", out, x.tensor, name === "clip" ? [-0.5, 0.25] : [])
        const expected = Array.from(x.values.values, (value) => (type === "u16" ? cast("u16", "f32", f(cast("f32", "u16", value))) : f(value)))
        if (!isSame(out.numbers, expected)) t.fail(`${name} of ${type} ${textOf(shape)}`)
      }
      freed(x.tensor, out)
    }
    for (const from of types) {
      const x = made(exact, random, from, shape)
      for (const to of types) {
        const out = exact.tensor(to, shape)
        exact.elements.cast(out, x.tensor)
        const expected = Array.from(x.values.values, (value) => cast(to, from, value))
        // Of one type to itself too, NaN is the canonical one.
        if (!isSame(out.numbers, expected)) t.fail(`${from} to ${to}: ${out.numbers.array.join()} of ${Array.from(x.values.values).join()}`)
        freed(out)
      }
      freed(x.tensor)
    }
  }
  // Halves: what a double is next to is not what its float is next to.
  const [x, out] = [exact.tensor("f64", [3], [1 + 2 ** -11 + 2 ** -40, -(1 + 2 ** -11 + 2 ** -40), 65_519.999999999]), exact.tensor("u16", [3])]
  exact.elements.cast(out, x)
  t.strictSame([...out.numbers.array], [0x3c01, 0xbc01, 0x7bff])
  freed(x, out)
  t.end()
})

const stepsOf: Readonly<Record<string, Readonly<Record<string, (x: number, y: number) => number>>>> = {
  f32: { sum: binary.add, mean: binary.add, prod: binary.mul, max: Math.max, min: Math.min },
  f64: { sum: (x, y) => x + y, mean: (x, y) => x + y, prod: (x, y) => x * y, max: Math.max, min: Math.min },
  i32: { sum: integers.add, prod: integers.mul, max: Math.max, min: Math.min },
}

t.test("reductions over any dimensions", (t) => {
  const random = new Random(seed + 23)
  for (let round = 0; round < rounds * 3; round++) {
    const shape = shapeOf(random)
    const axes = shape.map((_, i) => i).filter(() => random.whole(0, 1) === 0)
    const isKept = round % 2 === 0
    const outShape = isKept ? shape.map((size, i) => (axes.includes(i) ? 1 : size)) : shape.filter((_, i) => !axes.includes(i))
    const n = volumeOf(axes.map((i) => shape[i] as number))
    for (const type of ["f32", "f64", "i32", "u16"] as const) {
      const [x, out] = [made(exact, random, type, shape), exact.tensor(type, outShape)]
      for (const name of foldNames) {
        if (type === "i32" && name === "mean") continue
        const real = type === "u16" ? "f32" : type
        exact.folds.reduce(name, out, x.tensor, round % 3 === 0 ? axes.map((axis) => axis - shape.length) : axes)
        const begin = { sum: 0, mean: 0, prod: 1, max: Number.NEGATIVE_INFINITY, min: Number.POSITIVE_INFINITY }[name]
        const identity = type === "i32" ? cast("i32", "f64", begin) : begin
        const of = type === "u16" ? { shape, values: Array.from(x.values.values, (bits) => cast("f32", "u16", bits)) } : x.values
        const folded = fold(of, axes, stepsOf[real]?.[name] as () => number, identity)
        const expected = folded.map((value) => {
          const result = name === "mean" ? (real === "f32" ? Math.fround(value / n) : value / n) : value
          return type === "u16" ? cast("u16", "f32", result) : result
        })
        if (!isSame(out.numbers, expected))
          t.fail(`${name} of ${type} ${textOf(shape)} over ${textOf(axes)}: ${out.numbers.array.join()}, not ${expected.join()}`)
      }
      freed(x.tensor, out)
    }
    if (shape.length === 0) continue
    const axis = random.whole(0, shape.length - 1)
    const less = shape.filter((_, i) => i !== axis)
    for (const type of ["f32", "f64", "i32"] as const) {
      const [x, out] = [made(exact, random, type, shape), exact.tensor("i32", less)]
      if (shape[axis] === 0 && volumeOf(less) > 0) t.throws(() => exact.folds.places("max", out, x.tensor, axis), { code: "STELE-KRN-0003" })
      else
        for (const kind of ["max", "min"] as const) {
          exact.folds.places(kind, out, x.tensor, axis)
          const expected = Array.from({ length: volumeOf(less) }, (_, place) => {
            const after = volumeOf(shape.slice(axis + 1))
            const at = (k: number) => x.values.values[(Math.floor(place / after) * (shape[axis] as number) + k) * after + (place % after)] as number
            const order = [...Array(shape[axis] as number).keys()].sort((i, j) => {
              const [v, w] = [at(i), at(j)]
              if (Number.isNaN(v) || Number.isNaN(w)) return (Number(Number.isNaN(w)) - Number(Number.isNaN(v))) * (kind === "max" ? 1 : -1) || i - j
              return v === w ? i - j : v > w === (kind === "max") ? -1 : 1
            })
            return order[0] as number
          })
          if (!isSame(out.numbers, expected)) t.fail(`${kind} of ${type} ${textOf(shape)} along ${axis}`)
        }
      freed(x.tensor, out)
    }
    const [rows, last] = [random.whole(0, 3), random.whole(1, 30)]
    const k = random.whole(0, last)
    const x = made(exact, random, "f32", [rows, last])
    const [tops, places] = [exact.tensor("f32", [rows, k]), exact.tensor("i32", [rows, k])]
    exact.folds.topk(tops, places, x.tensor as Tensor<"f32">)
    const expected = Array.from({ length: rows }, (_, row) => topk((x.values.values as Float32Array).subarray(row * last, (row + 1) * last), k)).flat()
    if (!isSame(places.numbers, expected)) t.fail(`top ${k} of [${rows}, ${last}]`)
    freed(x.tensor, tops, places)
  }
  t.pass()
  t.end()
})

t.test("sums of products of doubles", (t) => {
  const random = new Random(seed + 24)
  for (let round = 0; round < rounds; round++) {
    const [m, k, n] = [random.whole(0, 5), random.whole(0, 40), random.whole(0, 7)]
    const [a, b, out] = [made(exact, random, "f64", [2, m, k]), made(exact, random, "f64", [2, k, n]), exact.tensor("f64", [2, m, n])]
    exact.folds.matmul(out, a.tensor as Tensor<"f64">, b.tensor as Tensor<"f64">)
    const expected = [0, 1].flatMap((i) => [
      ...matmulF64(
        Float64Array.from(a.values.values).subarray(i * m * k, (i + 1) * m * k),
        Float64Array.from(b.values.values).subarray(i * k * n, (i + 1) * k * n),
        m,
        k,
        n,
      ),
    ])
    if (!isSame(out.numbers, expected)) t.fail(`[${m}, ${k}] · [${k}, ${n}]`)
    const length = random.whole(0, 200)
    const [x, y] = [made(exact, random, "f64", [length]), made(exact, random, "f64", [length])]
    const products = Array.from(x.values.values, (value, i) => value * (y.values.values[i] as number))
    const found = exact.folds.dot(x.tensor.numbers as Numbers<"f64">, y.tensor.numbers as Numbers<"f64">)
    if (!Object.is(found, laned(products, doubleBinary.add, 0))) t.fail(`dot of ${length}`)
    freed(a.tensor, b.tensor, out, x.tensor, y.tensor)
  }
  t.pass()
  t.end()
})

t.test("numbers to other places: all types, any dimensions", (t) => {
  const random = new Random(seed + 25)
  for (let round = 0; round < rounds * 2; round++)
    for (const type of ["f32", "f64", "i32", "u16", "i8", "u8"] as const) {
      const shape = round % 5 === 0 ? [random.whole(1, 3), random.whole(1, 40), random.whole(1, 40)] : shapeOf(random)
      const rank = shape.length
      const total = volumeOf(shape)
      // Each number is told from the others, but for bytes.
      const x = exact.tensor(
        type,
        shape,
        Array.from({ length: total }, (_, i) => i + 1),
      )
      const from: Values = { shape, values: x.numbers.array.slice() }
      const check = (name: string, out: Tensor, place: (index: ReadonlyArray<number>) => ReadonlyArray<number> | undefined, other = 0): void => {
        const expected = moved(out.shape, from, place, other)
        if (!isSame(out.numbers, expected))
          t.fail(`${name} of ${type} ${textOf(shape)} to ${textOf(out.shape)}: ${out.numbers.array.join()}, not ${expected.join()}`)
        freed(out)
      }
      const order = shape.map((_, i) => i).sort(() => random.whole(0, 1) - 0.5)
      const turned = exact.tensor(
        type,
        order.map((i) => shape[i] as number),
      )
      exact.moves.transpose(turned, x, order)
      check(`transpose ${textOf(order)}`, turned, (index) => shape.map((_, i) => index[order.indexOf(i)] as number))

      const wide = [...Array.from({ length: random.whole(0, 2) }, () => random.whole(1, 3)), ...shape.map((size) => (size === 1 ? random.whole(1, 4) : size))]
      const large = exact.tensor(type, wide)
      exact.moves.expand(large, x)
      const expanded = moved(wide, from, (index) => index.slice(wide.length - rank))
      if (!isSame(large.numbers, expanded)) t.fail(`expand of ${type} ${textOf(shape)} to ${textOf(wide)}`)
      freed(large)

      const many = exact.tensor(
        type,
        shape.map((size) => size * random.whole(1, 3)),
      )
      exact.moves.tile(many, x)
      check("tile", many, (index) => index.map((place, i) => place % (shape[i] as number)))

      const [before, after] = [shape.map(() => random.whole(0, 2)), shape.map(() => random.whole(0, 2))]
      const padded = exact.tensor(
        type,
        shape.map((size, i) => size + (before[i] as number) + (after[i] as number)),
      )
      exact.moves.pad(padded, x, before, 7)
      check(
        "pad",
        padded,
        (index) => {
          const at = index.map((place, i) => place - (before[i] as number))
          return at.every((place, i) => place >= 0 && place < (shape[i] as number)) ? at : undefined
        },
        7,
      )

      const steps = shape.map(() => random.pick([1, 1, 2, 3, -1, -2]))
      const begin = shape.map((size, i) => ((steps[i] as number) < 0 ? Math.max(0, size - 1 - random.whole(0, 1)) : random.whole(0, Math.max(0, size - 1))))
      const counts = shape.map((size, i) => {
        const [step, first] = [steps[i] as number, begin[i] as number]
        const most = size === 0 ? 0 : step < 0 ? Math.floor(first / -step) + 1 : Math.floor((size - 1 - first) / step) + 1
        return random.whole(0, 9) === 0 ? 0 : random.whole(Math.min(1, most), most)
      })
      const part = exact.tensor(type, counts)
      exact.moves.slice(part, x, begin, steps)
      check(`slice ${textOf(begin)} ${textOf(steps)}`, part, (index) => index.map((place, i) => (begin[i] as number) + place * (steps[i] as number)))

      if (rank > 0) {
        const axis = random.whole(0, rank - 1)
        const size = shape[axis] as number
        const cuts = [0, random.whole(0, size), random.whole(0, size), size].sort((a, b) => a - b)
        const parts = cuts.slice(1).map((cut, i) =>
          exact.tensor(
            type,
            shape.map((all, k) => (k === axis ? cut - (cuts[i] as number) : all)),
          ),
        )
        exact.moves.split(parts, x, axis - rank)
        parts.forEach((one, i) => {
          const expected = moved(one.shape, from, (index) => index.map((place, k) => (k === axis ? place + (cuts[i] as number) : place)))
          if (!isSame(one.numbers, expected)) t.fail(`split of ${type} ${textOf(shape)} along ${axis}`)
        })
        const whole = exact.tensor(type, shape)
        exact.moves.concat(whole, parts, axis)
        check("concat", whole, (index) => index)
        freed(...parts)

        const placesShape = size === 0 ? [0] : shapeOf(random, random.whole(0, 2))
        const places = exact.tensor(
          "i32",
          placesShape,
          Array.from({ length: volumeOf(placesShape) }, () => random.whole(-size, size - 1)),
        )
        const picked = exact.tensor(type, [...shape.slice(0, axis), ...placesShape, ...shape.slice(axis + 1)])
        exact.moves.gather(picked, x, places, axis)
        check("gather", picked, (index) => {
          const place = places.numbers.array[
            placeIn(
              placesShape,
              index.slice(axis, axis + placesShape.length).map((one, i) => ((placesShape[i] as number) === 1 ? 0 : one)),
            )
          ] as number
          return [...index.slice(0, axis), place < 0 ? place + size : place, ...index.slice(axis + placesShape.length)]
        })
        freed(places)
      }
      freed(x)
    }
  t.pass()
  t.end()
})

t.test("fast differs in nothing but NaN: no kernel of tensors adds what it multiplied", async (t) => {
  const fast = await openKernels({ mode: "fast" })
  const random = new Random(seed + 26)
  for (let round = 0; round < rounds; round++) {
    const shape = shapeOf(random, 3)
    for (const type of ["f32", "f64"] as const) {
      const numbers = Float64Array.from({ length: volumeOf(shape) }, () => random.word() / 2 ** 31 - 1)
      const results = [exact, fast].map((kernels) => {
        const [x, out, sums, squares] = [
          kernels.tensor(type, shape, numbers),
          kernels.tensor(type, shape),
          kernels.tensor(type, shape.slice(0, 2)),
          kernels.tensor("f64", [3, 3]),
        ]
        const bits: Array<ArrayBufferView> = []
        for (const name of ["add", "mul", "max"] as const) {
          kernels.elements.binary(name, out, x, { ...x, shape })
          bits.push(out.numbers.array.slice())
        }
        for (const name of foldNames) {
          kernels.folds.reduce(name, sums, x, [2])
          bits.push(sums.numbers.array.slice())
        }
        const a = kernels.tensor(
          "f64",
          [3, 3],
          Array.from({ length: 9 }, (_, i) => numbers[i] ?? 0.3),
        )
        kernels.folds.matmul(squares, a, a)
        bits.push(squares.numbers.array.slice())
        freed(x, out, sums, squares, a)
        return Buffer.concat(bits.map(wordsOf))
      })
      const isNothing = shape.slice(0, 2).every((size) => size > 0) && shape[2] === 0
      if (!isNothing && results[0]?.equals(results[1] as Buffer) !== true) t.fail(`${type} ${textOf(shape)}`)
    }
  }
  t.pass()
})

t.test("a fill writes the canonical NaN", (t) => {
  const [x, y] = [exact.tensor("f32", [5]), exact.tensor("f64", [5])]
  for (const one of [x, y]) exact.moves.fill(one, -Number.NaN)
  t.ok(isSame(x.numbers, Array<number>(5).fill(Number.NaN)) && isSame(y.numbers, Array<number>(5).fill(Number.NaN)))
  freed(x, y)
  t.end()
})

t.test("what tensors are not is said with operand, expected and found", async (t) => {
  const kernels = await openKernels({ bytesMax: 1 << 20 })
  const before = kernels.bytesUsed
  const [x, y, i] = [kernels.tensor("f32", [2, 3]), kernels.tensor("f32", [2, 2]), kernels.tensor("i32", [3], [0, -3, 3])]
  const d = kernels.tensor("f64", [2, 3])
  const refused = (run: () => unknown, code: string, message: RegExp): unknown => t.throws(run, { code, message }, String(message))
  const { elements, folds, moves } = kernels
  refused(() => elements.binary("add", x, x, y), "STELE-KRN-0003", /"shape" is \[2, 3\] and \[2, 2\], expected shapes that go together/)
  refused(() => elements.binary("add", y, x, x), "STELE-KRN-0003", /"out" is \[2, 2\], expected \[2, 3\]/)
  refused(() => elements.binary("add", x, x, d), "STELE-KRN-0002", /"y" is f64, not f32/)
  refused(() => elements.binary("pow", d, d, d), "STELE-KRN-0006", /operation of f64 "pow": there are add, sub/)
  refused(() => elements.binary("rem", i, i, i), "STELE-KRN-0008", /number 0 of the result divides by a 0 of "y"/)
  refused(() => elements.binary("add", { ...x, shape: [7] }, x, x), "STELE-KRN-0003", /"out" is \[7\]/)
  refused(() => elements.binary("add", x, { ...x, shape: [2, 4] }, x), "STELE-KRN-0001", /"x" has 6 numbers, not 8/)
  refused(() => elements.map("gelu", d, d), "STELE-KRN-0006", /function of f64 "gelu": there are relu, sqrt/)
  refused(() => elements.compare("like" as never, i, i, i), "STELE-KRN-0006", /there are lt, le, eq, ne, gt, ge/)
  refused(() => elements.where(x, kernels.tensor("f32", [1]) as never, x, x), "STELE-KRN-0002", /"mask" is f32, not i32/)
  refused(() => elements.cast(x, i), "STELE-KRN-0003", /"out" is \[2, 3\], expected \[3\]/)
  refused(() => folds.reduce("mean", i, i, []), "STELE-KRN-0002", /"x" is i32, not f32 or f64/)
  refused(() => folds.reduce("sum", y, x, [2]), "STELE-KRN-0003", /"axis" is 2, expected a whole number from -2 to 1/)
  refused(() => folds.reduce("sum", y, x, [1]), "STELE-KRN-0003", /"out" is \[2, 2\], expected \[2, 1\]/)
  refused(() => folds.reduce("median" as never, y, x), "STELE-KRN-0006", /there are sum, mean, max, min, prod/)
  refused(() => folds.topk(x, kernels.tensor("i32", [2, 3]), y), "STELE-KRN-0003", /"values" is \[2, 3\], expected at most 2/)
  refused(() => moves.transpose(x, x, [0, 0]), "STELE-KRN-0003", /"order" is \[0, 0\], expected a permutation of 2 dimensions/)
  refused(() => moves.gather(kernels.tensor("f32", [3, 3]), x, i), "STELE-KRN-0009", /"places" has -3 at 1, of a dimension of 2/)
  refused(() => moves.slice(y, x, [0, 2]), "STELE-KRN-0003", /"begin" is \[0, 2\], expected places within \[2, 3\] for 2 of dimension 1/)
  refused(() => moves.slice(y, x, [0, 0], [1, 0]), "STELE-KRN-0003", /"steps" is \[1, 0\]/)
  refused(() => moves.pad(x, y, [0, 2]), "STELE-KRN-0003", /"begin" is \[0, 2\], expected places of \[2, 2\] within \[2, 3\]/)
  refused(() => moves.tile(x, y), "STELE-KRN-0003", /"out" is \[2, 3\], expected multiples of \[2, 2\]/)
  refused(() => moves.expand(x, y), "STELE-KRN-0003", /"x" is \[2, 2\], expected sizes of \[2, 3\] from the right, or 1/)
  refused(() => moves.concat(x, [y, y], 1), "STELE-KRN-0003", /"parts" is 4, expected 3 along dimension 1/)
  refused(() => kernels.tensor("f32", [2], [1]), "STELE-KRN-0001", /"values" has 1 numbers, not 2/)
  refused(() => moves.fill({ ...x, shape: Array<number>(9).fill(1) }, 0), "STELE-KRN-0003", /expected at most 8 dimensions/)
  x.numbers.free()
  refused(() => elements.binary("add", y, y, { ...x, shape: [] }), "STELE-KRN-0001", /"y" has 6 numbers, not 1/)
  refused(() => moves.fill(x, 0), "STELE-KRN-0004", /was freed/)
  t.ok(kernels.bytesUsed > before)
})
