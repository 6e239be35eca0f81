/** `plugins/sdk/int128.as.ts` against BigInt. */
import t from "tap"
import { many, openGuest, random } from "./sdk/guest.ts"

t.setTimeout(300_000)

const wit = `package acme:ints; world ints {
  export unsigned: func(cases: list<string>) -> list<string>;
  export signed: func(cases: list<string>) -> list<string>;
  export trap: func(what: u8) -> string;
}`

/** The methods that are the same of both, by name. */
const common = ["add", "sub", "mul"]
const source = (name: string, type: string, more: string): string => `
function ${name}One(text: string): string {
  const words = text.split(" ")
  const a = ${type}.parse(words[1]), b = ${type}.parse(words[2])
  if (a === null || b === null) return "no number"
  const op = words[0]
  ${common.map((op) => `if (op == "${op}") return say<${type}>(a.try${op[0]?.toUpperCase()}${op.slice(1)}(b))`).join("\n  ")}
  if (op == "div") return a.div(b).toString()
  if (op == "rem") return a.rem(b).toString()
  if (op == "shl") return a.shl(<u32>b.low).toString()
  if (op == "shr") return a.shr(<u32>b.low).toString()
  if (op == "and") return a.and(b).toString()
  if (op == "or") return a.or(b).toString()
  if (op == "xor") return a.xor(b).toString()
  if (op == "not") return a.not().toString()
  if (op == "compare") return a.compare(b).toString()
  if (op == "equals") return a.equals(b).toString()
  ${more}
  return "no such operation"
}
export function ${name}(cases: string[]): string[] {
  const out = new Array<string>(cases.length)
  for (let i = 0; i < cases.length; i++) out[i] = ${name}One(cases[i])
  return out
}`
const guest = await openGuest(
  wit,
  `import { I128, U128 } from "../bindings/sdk/int128"
function say<T>(value: T | null): string { return value === null ? "null" : (value as T).toString() }
${source("unsigned", "U128", `if (op == "muldiv") return say<U128>(a.tryMulDiv(b, U128.parse(words[3])!)); if (op == "zeros") return a.leadingZeros.toString()`)}
${source("signed", "I128", `if (op == "sign") return a.sign.toString(); if (op == "magnitude") return a.magnitude.toString(); if (op == "fits") return a.fitsI64.toString()`)}
export function trap(what: u8): string {
  const one = I128.of(1), none = I128.of(0)
  if (what == 0) return I128.max.add(one).toString()
  if (what == 1) return I128.min.neg().toString()
  if (what == 2) return I128.min.div(I128.of(-1)).toString()
  if (what == 3) return one.div(none).toString()
  if (what == 4) return one.rem(none).toString()
  if (what == 5) return U128.of(0).sub(U128.of(1)).toString()
  if (what == 6) return U128.max.toU64().toString()
  if (what == 7) return I128.ofU64(<u64>i64.MAX_VALUE + 1).toI64().toString()
  if (what == 8) return U128.of(1).div(U128.of(0)).toString()
  if (what == 9) return I128.max.mul(I128.of(2)).toString()
  return I128.of(-7).rem(I128.of(2)).toString() + " " + I128.of(i64.MIN_VALUE).toI64().toString() + " " + I128.max.toString() + " " + I128.min.toString()
}`,
)
t.teardown(() => guest[Symbol.asyncDispose]())

const top = 1n << 128n
const say = (value: bigint, isSigned: boolean): string =>
  isSigned ? (value < -(top >> 1n) || value >= top >> 1n ? "null" : `${value}`) : value < 0n || value >= top ? "null" : `${value}`

/** Numbers with words that are all 0, all 1 or anything, since algorithm D's rare steps need such. */
const numbers = ({ below, bits }: ReturnType<typeof random>): bigint => {
  if (below(4) === 0) return bits(below(129))
  let value = 0n
  for (let limb = 0; limb < 4; limb++) {
    const kind = below(6)
    value = (value << 32n) | (kind === 0 ? 0n : kind === 1 ? 0xffffffffn : kind === 2 ? 0x80000000n : kind === 3 ? 1n : bits(32))
  }
  return value >> BigInt(below(4) === 0 ? below(128) : 0)
}

const expected = (op: string, a: bigint, b: bigint, isSigned: boolean): string => {
  const wrap = isSigned ? (x: bigint) => BigInt.asIntN(128, x) : (x: bigint) => BigInt.asUintN(128, x)
  switch (op) {
    case "add":
      return say(a + b, isSigned)
    case "sub":
      return say(a - b, isSigned)
    case "mul":
      return say(a * b, isSigned)
    case "div":
      return say(a / b, isSigned)
    case "rem":
      return say(a % b, isSigned)
    case "shl":
      return `${wrap(a << BigInt.asUintN(32, b))}`
    case "shr":
      return `${wrap(a >> BigInt.asUintN(32, b))}`
    case "and":
      return `${wrap(a & b)}`
    case "or":
      return `${wrap(a | b)}`
    case "xor":
      return `${wrap(a ^ b)}`
    case "not":
      return `${wrap(~a)}`
    case "compare":
      return a < b ? "-1" : a > b ? "1" : "0"
    default:
      return `${a === b}`
  }
}
const ops = ["add", "sub", "mul", "div", "rem", "shl", "shr", "and", "or", "xor", "not", "compare", "equals"]

for (const isSigned of [false, true]) {
  const name = isSigned ? "signed" : "unsigned"
  t.test(`${name} numbers are those of BigInt, and null where they leave the range`, async (t) => {
    const generator = random(isSigned ? 7n : 6n)
    const cases: Array<string> = []
    const wanted: Array<string> = []
    for (let i = 0; i < many(26_000); i++) {
      const op = ops[i % ops.length] as string
      let [a, b] = [numbers(generator), numbers(generator)]
      if (isSigned) [a, b] = [BigInt.asIntN(128, a), BigInt.asIntN(128, b)]
      if (generator.below(9) === 0) b = a
      if (op.startsWith("sh")) b = BigInt(generator.below(140))
      if ((op === "div" || op === "rem") && (b === 0n || say(a / b, isSigned) === "null")) b = 3n
      cases.push(`${op} ${a} ${b}`)
      wanted.push(expected(op, a, b, isSigned))
    }
    for (let at = 0; at < cases.length; at += 10_000) {
      const got = guest.call(name, cases.slice(at, at + 10_000)) as ReadonlyArray<string>
      const wrong = got.findIndex((text, i) => text !== wanted[at + i])
      if (wrong !== -1) t.fail(`${cases[at + wrong]} is ${wanted[at + wrong]}, got ${got[wrong]}`)
    }
    t.pass(`${cases.length} cases`)
  })
}

t.test("a product of 256 bits is divided without a loss", async (t) => {
  const generator = random(8n)
  const triples = Array.from({ length: many(10_000) }, () => [numbers(generator), numbers(generator), numbers(generator) || 1n] as const)
  const got = guest.call(
    "unsigned",
    triples.map(([a, b, c]) => `muldiv ${a} ${b} ${c}`),
  ) as ReadonlyArray<string>
  triples.forEach(([a, b, c], i) => {
    if (got[i] !== say((a * b) / c, false)) t.fail(`${a} × ${b} ÷ ${c} is ${say((a * b) / c, false)}, got ${got[i]}`)
  })
  // D6, the step that adds back, which chance never meets: Hacker's Delight, divmnu64.c.
  const [n, d] = [0x80000000_00000000_00000003n, 0x20000000_00000000_00000001n]
  t.strictSame(guest.call("unsigned", [`div ${n} ${d}`, `rem ${n} ${d}`]), [`${n / d}`, `${n % d}`])
})

t.test("texts that are no number of the range are refused", async (t) => {
  const bad = ["", "-", "+1", "1-", " 1", "0x1", "1.0", "1e3", `${top}`, `-${top}`, "9".repeat(60), "١"]
  for (const text of bad) t.strictSame(guest.call("unsigned", [`add ${text.replaceAll(" ", "_")} 0`]), ["no number"], text)
  for (const text of [...bad, `${top >> 1n}`, `-${(top >> 1n) + 1n}`])
    t.strictSame(guest.call("signed", [`add ${text.replaceAll(" ", "_")} 0`]), ["no number"], text)
  t.strictSame(guest.call("unsigned", [`add ${top - 1n} 000`, "add 00012 3", `zeros 1 0`, `zeros ${top - 1n} 0`, `zeros 0 0`]), [
    `${top - 1n}`,
    "15",
    "127",
    "0",
    "128",
  ])
  const [least, most] = [-(top >> 1n), (top >> 1n) - 1n]
  t.strictSame(guest.call("signed", [`add ${least} -0`, `add ${most} 0`, `magnitude ${least} 0`, `sign ${least} 0`, "sign 0 0", "sign 5 0"]), [
    `${least}`,
    `${most}`,
    `${top >> 1n}`,
    "-1",
    "0",
    "1",
  ])
  t.strictSame(guest.call("signed", [`fits ${2n ** 63n} 0`, `fits ${2n ** 63n - 1n} 0`, `fits ${-(2n ** 63n)} 0`, `fits ${-(2n ** 63n) - 1n} 0`]), [
    "false",
    "true",
    "true",
    "false",
  ])
})

t.test("what is out of range traps", async (t) => {
  for (let what = 0; what < 10; what++) await t.rejects(guest.plugin.call("trap", [what]), { code: "STELE-PLG-0002" }, `${what}`)
  t.equal(await guest.plugin.call("trap", [10]), `-1 ${-(2n ** 63n)} ${(top >> 1n) - 1n} ${-(top >> 1n)}`)
})
