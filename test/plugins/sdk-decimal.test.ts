/** `plugins/sdk/decimal.as.ts` against BigInt: every rounding, every operation, and what a bill needs. */
import t, { type Test } from "tap"
import { many, openGuest, random } from "./sdk/guest.ts"

t.setTimeout(300_000)

const wit = `package acme:decimals; world decimals {
  export run: func(cases: list<string>) -> list<string>;
  export sum: func(price: string, times: u32) -> string;
  export trap: func(what: u8) -> string;
}`
const modes = ["halfAway", "halfEven", "halfToward", "halfCeiling", "halfFloor", "up", "down", "ceiling", "floor", "exact"] as const
type Mode = (typeof modes)[number]

const guest = await openGuest(
  wit,
  `import { Decimal, DecimalReason, Rounding } from "../bindings/sdk/decimal"
function say(value: Decimal | null): string { return value === null ? "null" : (value as Decimal).toString() }
function one(text: string): string {
  const words = text.split(" ")
  const op = words[0]
  const mode = <Rounding>I32.parseInt(words[1])
  const read = Decimal.parse(words[2], mode)
  if (op == "parse") return read.isErr ? ["syntax", "range", "precision"][read.error.reason] + " " + read.error.offset.toString() : read.value.toString()
  if (op == "message") return read.error.toString()
  const a = read.value
  const b = Decimal.parse(words[3]).value
  if (op == "add") return say(a.tryAdd(b))
  if (op == "sub") return say(a.trySub(b))
  if (op == "mul") return say(a.tryMul(b, mode))
  if (op == "div") return say(a.tryDiv(b, mode))
  if (op == "muldiv") return say(a.tryMulDiv(b, Decimal.parse(words[4]).value, mode))
  if (op == "times") return say(a.tryTimes(b.unscaled.toI64()))
  if (op == "round") return say(a.tryRound(<i32>b.unscaled.toI64(), mode))
  if (op == "fixed") return a.toFixed(<i32>b.unscaled.toI64(), mode)
  if (op == "compare") return a.compare(b).toString() + " " + a.equals(b).toString() + " " + a.sign.toString()
  if (op == "neg") return a.neg().toString() + " " + a.abs().toString()
  if (op == "scaled") return say(Decimal.ofScaled(a.unscaled.toI64(), <i32>b.unscaled.toI64()))
  return "no such operation"
}
export function run(cases: string[]): string[] {
  const out = new Array<string>(cases.length)
  for (let i = 0; i < cases.length; i++) out[i] = one(cases[i])
  return out
}
export function sum(price: string, times: u32): string {
  const part = Decimal.parse(price).value
  let total = Decimal.zero
  for (let i: u32 = 0; i < times; i++) total = total.add(part)
  return total.toString()
}
export function trap(what: u8): string {
  const one = Decimal.of(1)
  if (what == 0) return Decimal.max.add(one).toString()
  if (what == 1) return Decimal.min.neg().toString()
  if (what == 2) return one.div(Decimal.zero).toString()
  if (what == 3) return one.div(Decimal.of(3), Rounding.exact).toString()
  if (what == 4) return one.round(19).toString()
  if (what == 5) return Decimal.max.mul(Decimal.of(2)).toString()
  if (what == 6) return Decimal.max.round(0).toString()
  return Decimal.max.round(0, Rounding.down).toString() + " " + Decimal.min.toString() + " " + Decimal.of(-3).toString()
}`,
)
t.teardown(() => guest[Symbol.asyncDispose]())

const unit = 10n ** 18n
const top = 1n << 127n
/** A scaled integer as the guest prints it; null out of range. */
const show = (value: bigint | null): string => {
  if (value === null || value < -top || value >= top) return "null"
  const text = `${value < 0n ? -value : value}`.padStart(19, "0")
  const fraction = text.slice(-18).replace(/0+$/, "")
  return `${value < 0n ? "-" : ""}${text.slice(0, -18)}${fraction === "" ? "" : `.${fraction}`}`
}
/** n ÷ d by the rule's definition: the neighbours below and above, and which of them it is. */
function divide(n: bigint, d: bigint, mode: Mode): bigint | null {
  if (d < 0n) return divide(-n, -d, mode)
  const isNegative = n < 0n
  const toward = n / d
  const rest = n % d
  if (rest === 0n) return toward
  const away = toward + (isNegative ? -1n : 1n)
  const [below, above] = isNegative ? [away, toward] : [toward, away]
  const twice = (rest < 0n ? -rest : rest) * 2n
  const nearest = twice < d ? toward : twice > d ? away : undefined
  switch (mode) {
    case "exact":
      return null
    case "up":
      return away
    case "down":
      return toward
    case "ceiling":
      return above
    case "floor":
      return below
    case "halfAway":
      return nearest ?? away
    case "halfToward":
      return nearest ?? toward
    case "halfCeiling":
      return nearest ?? above
    case "halfFloor":
      return nearest ?? below
    default:
      return nearest ?? (toward % 2n === 0n ? toward : away)
  }
}

/** Runs cases and compares; tells the first that differs. */
function compare(t: Test, cases: ReadonlyArray<readonly [text: string, expected: string]>): void {
  for (let at = 0; at < cases.length; at += 10_000) {
    const part = cases.slice(at, at + 10_000)
    const got = guest.call(
      "run",
      part.map(([text]) => text),
    ) as ReadonlyArray<string>
    const wrong = part.findIndex(([, expected], i) => got[i] !== expected)
    if (wrong !== -1) {
      t.fail(`${part[wrong]?.[0]} is ${part[wrong]?.[1]}, got ${got[wrong]}`)
      return
    }
  }
  t.pass(`${cases.length} cases`)
}

/** Amounts as bills have them, halves, and whatever fits. */
function amount({ below, bits }: ReturnType<typeof random>): bigint {
  const sign = below(2) === 0 ? 1n : -1n
  const kind = below(6)
  if (kind === 0) return sign * bits(below(128))
  if (kind === 1) return sign * bits(20) * 10n ** BigInt(below(19))
  if (kind === 2) return (sign * (bits(16) * 10n + 5n) * 10n ** BigInt(below(19))) / 10n
  if (kind === 3) return sign * bits(below(64))
  if (kind === 4) return sign * (top - 1n - bits(below(20)))
  return sign * BigInt(below(4)) * unit
}

t.test("every operation and rounding is what the rule says of exact numbers", (t) => {
  const generator = random(21n)
  const ops = ["add", "sub", "mul", "div", "muldiv", "times", "round", "compare", "neg"] as const
  const cases: Array<readonly [string, string]> = []
  for (let i = 0; i < many(30_000); i++) {
    const op = ops[i % ops.length] as (typeof ops)[number]
    const index = generator.below(modes.length)
    const mode = modes[index] as Mode
    const [a, b, c] = [amount(generator), amount(generator), amount(generator)]
    const whole = generator.below(19)
    const n = BigInt.asIntN(64, generator.bits(generator.below(65)))
    const second = op === "round" ? BigInt(whole) : op === "times" ? n : b
    const expected = {
      add: () => show(a + b),
      sub: () => show(a - b),
      mul: () => show(divide(a * b, unit, mode)),
      div: () => (b === 0n ? "null" : show(divide(a * unit, b, mode))),
      muldiv: () => (c === 0n ? "null" : show(divide(a * b, c, mode))),
      times: () => show(a * n),
      round: () => {
        const step = 10n ** BigInt(18 - whole)
        const count = divide(a, step, mode)
        return show(count === null ? null : count * step)
      },
      compare: () => `${a < b ? -1 : a > b ? 1 : 0} ${a === b} ${a < 0n ? -1 : a > 0n ? 1 : 0}`,
      neg: () => `${show(-a)} ${show(a < 0n ? -a : a)}`,
    }[op]()
    cases.push([`${op} ${index} ${show(a)} ${show(second)} ${show(c)}`, expected])
  }
  compare(t, cases)
  t.end()
})

t.test("halves of both signs go where each rule's name says", (t) => {
  const table: Readonly<Record<Mode, string>> = {
    halfAway: "-3 -2 -1 1 2 3",
    halfEven: "-2 -2 0 0 2 2",
    halfToward: "-2 -1 0 0 1 2",
    halfCeiling: "-2 -1 0 1 2 3",
    halfFloor: "-3 -2 -1 0 1 2",
    up: "-3 -2 -1 1 2 3",
    down: "-2 -1 0 0 1 2",
    ceiling: "-2 -1 0 1 2 3",
    floor: "-3 -2 -1 0 1 2",
    exact: "null null null null null null",
  }
  const halves = ["-2.5", "-1.5", "-0.5", "0.5", "1.5", "2.5"]
  compare(
    t,
    modes.flatMap((mode, index) => (table[mode] ?? "").split(" ").map((expected, i) => [`round ${index} ${halves[i]} 0`, expected] as const)),
  )
  t.end()
})

t.test("texts are read exactly, rounded by a rule that is named, or refused with their place", (t) => {
  const generator = random(22n)
  const cases: Array<readonly [string, string]> = []
  for (let i = 0; i < many(20_000); i++) {
    const index = generator.below(modes.length)
    const whole = generator.below(3) === 0 ? "0".repeat(1 + generator.below(3)) : `${generator.bits(generator.below(80))}`
    const places = generator.below(30)
    const fraction =
      places === 0
        ? ""
        : `${generator.bits(110)}`
            .padStart(34, "0")
            .slice(-places)
            .replace(/..$/, generator.below(3) === 0 ? "50" : "$&")
    const exponent = generator.below(3) === 0 ? generator.below(60) - 35 : undefined
    const isNegative = generator.below(2) === 0
    const text = `${isNegative ? "-" : ""}${whole}${fraction === "" ? "" : `.${fraction}`}${exponent === undefined ? "" : `e${exponent}`}`
    const power = 18 - fraction.length + (exponent ?? 0)
    const digits = BigInt(`${whole}${fraction}`) * (isNegative ? -1n : 1n)
    const value = power >= 0 ? digits * 10n ** BigInt(power) : divide(digits, 10n ** BigInt(-power), modes[index] as Mode)
    const isOut = show(value ?? digits / 10n ** BigInt(-power)) === "null"
    cases.push([`parse ${index} ${text}`, isOut ? "range" : value === null ? "precision" : show(value)])
  }
  const got = guest.call(
    "run",
    cases.map(([text]) => text),
  ) as ReadonlyArray<string>
  const wrong = cases.findIndex(([, expected], i) => (/^[pr]/.test(expected) ? !got[i]?.startsWith(expected) : got[i] !== expected))
  t.equal(wrong, -1, wrong === -1 ? `${cases.length} texts` : `${cases[wrong]?.[0]} is ${cases[wrong]?.[1]}, got ${got[wrong]}`)
  const syntax: ReadonlyArray<readonly [string, number]> = [
    ["", 0],
    ["-", 1],
    ["+1", 0],
    [".5", 0],
    ["5.", 2],
    ["1.2.3", 3],
    ["1e", 2],
    ["1e+", 3],
    ["1,5", 1],
    ["0x10", 1],
    ["١", 0],
    ["1_000", 1],
    ["NaN", 0],
  ]
  compare(
    t,
    syntax.map(([text, offset]) => [`parse 9 ${text}`, `syntax ${offset}`] as const),
  )
  compare(t, [
    ["parse 9 1e-18", "0.000000000000000001"],
    ["parse 9 1e-19", "precision 0"],
    ["parse 9 1.50e-17", "0.000000000000000015"],
    ["parse 0 0e999999999999999999999", "0"],
    ["parse 0 1e999999999999999999999", "range 0"],
    ["parse 0 1e-999999999999999999999", "0"],
    ["parse 5 1e-999999999999999999999", "0.000000000000000001"],
    [`parse 0 ${"0".repeat(1000)}1.${"0".repeat(1000)}`, "1"],
    ["parse 9 -0", "0"],
    ["parse 9 -0.0e5", "0"],
    ["parse 9 170141183460469231731.687303715884105727", "170141183460469231731.687303715884105727"],
    ["parse 9 170141183460469231731.687303715884105728", "range 0"],
    ["parse 9 -170141183460469231731.687303715884105728", "-170141183460469231731.687303715884105728"],
    ["message 9 1x", "Cannot read a decimal: no number is expected to go on like this at offset 1"],
    ["message 9 1e30", "Cannot read a decimal: it is out of range"],
    ["message 9 1e-30", "Cannot read a decimal: it has more than 18 places"],
  ])
  t.end()
})

t.test("a bill: 0.00001 a million times is 10, and money is written with its exponent", (t) => {
  t.equal(guest.call("sum", "0.00001", 1_000_000), "10")
  t.equal(guest.call("sum", "0.000000000000000001", 1_000_000), "0.000000000001")
  const money = (value: string, exponent: number, mode: Mode = "halfAway"): readonly [string, bigint] => [
    `fixed ${modes.indexOf(mode)} ${value} ${show(BigInt(exponent))}`,
    BigInt(exponent),
  ]
  compare(t, [
    [money("19.9", 2)[0], "19.90"],
    [money("-0.004", 2)[0], "0.00"],
    [money("-0.005", 2)[0], "-0.01"],
    [money("1.005", 2, "halfEven")[0], "1.00"],
    [money("12345.5", 0)[0], "12346"],
    [money("1.0000000000005", 12)[0], "1.000000000001"],
    [money("7", 12)[0], "7.000000000000"],
    [`scaled 9 ${show(1999n)} ${show(2n)}`, "19.99"],
    [`scaled 9 ${show(-(2n ** 63n))} ${show(0n)}`, "-9223372036854775808"],
    [`scaled 9 ${show(5n)} ${show(19n)}`, "null"],
    // 30 of 31 days of a price, in one rounding, whatever the product between is.
    [`muldiv 0 170141183460469231731 30 31`, show(divide(170141183460469231731n * unit * 30n, 31n, "halfAway"))],
  ])
  t.end()
})

t.test("what is out of range traps, and 5,000 calls leave the memory as it was", async (t) => {
  for (let what = 0; what < 7; what++) await t.rejects(guest.plugin.call("trap", [what]), { code: "STELE-PLG-0002" }, `${what}`)
  t.equal(await guest.plugin.call("trap", [7]), "170141183460469231731 -170141183460469231731.687303715884105728 -3")
  const cases = ["mul 0 1.5 2.25", "div 0 10 3", "parse 9 1e99", "fixed 0 1.005 0.000000000000000002"]
  for (let i = 0; i < 50; i++) guest.call("run", cases)
  const before = await guest.peak("run", cases)
  for (let i = 0; i < 5_000; i++) guest.call("run", cases)
  t.equal(await guest.peak("run", cases), before)
})
