/**
 * Whether endless recursions are stopped by the counted stack before the engine's own overflows. Argument: bytes of
 * counted stack. Prints one JSON line: shape, then "counted" or "engine", for a fresh module and for one that has run hot.
 */
import { instantiate, outcome } from "./meter-harness.ts"
import { call, callIndirect, type Code, get, globalGet, globalSet, i32, i64, lane, Module, set, type ValueTypeName } from "./wasm-builder.ts"

const many = (count: number, code: (index: number) => Code): Code => Array.from({ length: count }, (_, index) => code(index))
const minusOne: Code = [get(0), i32(1), "i32.sub"]
const splat: Code = [i32(3), "i32x4.splat"]

const shapes: Readonly<Record<string, (m: Module) => void>> = {
  plain: (m) => void m.func(["i32"], ["i32"], { export: "run" }, (self) => [minusOne, call(self), i32(1), "i32.add"]),
  "no parameters": (m) => {
    const g = m.global("i32", true, i32(0))
    const down = m.func([], [], {}, (self) => [globalGet(g), i32(1), "i32.add", globalSet(g), call(self)])
    m.func(["i32"], ["i32"], { export: "run" }, [call(down), i32(0)])
  },
  "20 i64 locals": (m) =>
    void m.func(["i32"], ["i32"], { export: "run", locals: Array.from({ length: 20 }, () => "i64" as const) }, (self) => [
      many(20, (k) => [get(0), "i64.extend_i32_s", i64(k), "i64.mul", set(k + 1)]),
      minusOne,
      call(self),
      many(20, (k) => [get(k + 1), "i32.wrap_i64", "i32.add"]),
    ]),
  "20 v128 locals": (m) =>
    void m.func(["i32"], ["i32"], { export: "run", locals: Array.from({ length: 20 }, () => "v128" as const) }, (self) => [
      many(20, (k) => [get(0), i32(k), "i32.mul", "i32x4.splat", set(k + 1)]),
      minusOne,
      call(self),
      many(20, (k) => [get(k + 1), lane("i32x4.extract_lane", 1), "i32.add"]),
    ]),
  "40 operands": (m) =>
    void m.func(["i32"], ["i32"], { export: "run" }, (self) => [many(40, (k) => [get(0), i32(k), "i32.mul"]), minusOne, call(self), many(40, () => "i32.add")]),
  "40 v128 operands": (m) =>
    void m.func(["i32"], ["i32"], { export: "run" }, (self) => [
      many(40, (k) => [get(0), i32(k), "i32.mul", "i32x4.splat"]),
      minusOne,
      call(self),
      "i32x4.splat",
      many(40, () => "i32x4.add"),
      lane("i32x4.extract_lane", 0),
    ]),
  "30 v128 parameters": (m) => {
    const params: ReadonlyArray<ValueTypeName> = ["i32", ...Array.from({ length: 30 }, () => "v128" as const)]
    const down = m.func(params, ["i32"], {}, (self) => [
      minusOne,
      many(30, (k) => get(k + 1)),
      call(self),
      many(30, (k) => [get(k + 1), lane("i32x4.extract_lane", 1), "i32.add"]),
    ])
    m.func(["i32"], ["i32"], { export: "run" }, [get(0), many(30, () => splat), call(down)])
  },
  "1,000 v128 operands": (m) =>
    void m.func(["i32"], ["i32"], { export: "run" }, (self) => [
      many(1_000, () => [get(0), "i32x4.splat"]),
      minusOne,
      call(self),
      "drop",
      many(999, () => "v128.xor"),
      lane("i32x4.extract_lane", 0),
    ]),
  "900 v128 parameters": (m) => {
    const params: ReadonlyArray<ValueTypeName> = ["i32", ...Array.from({ length: 900 }, () => "v128" as const)]
    const down = m.func(params, ["i32"], {}, (self) => [minusOne, many(900, (k) => get(k + 1)), call(self), i32(1), "i32.add"])
    m.func(["i32"], ["i32"], { export: "run" }, [get(0), many(900, () => splat), call(down)])
  },
  ...Object.fromEntries(
    (["v128", "i64", "i32"] as const).flatMap((type) =>
      [10, 900].map((count) => [
        `${count} ${type} results`,
        (m: Module) => {
          const down = m.func(
            ["i32"],
            Array.from({ length: count }, () => type),
            {},
            (self) => [minusOne, call(self)],
          )
          m.func(["i32"], ["i32"], { export: "run" }, [get(0), call(down), many(count, () => "drop"), i32(0)])
        },
      ]),
    ),
  ),
  "through a table": (m) => {
    m.table("funcref", 1, 1)
    const type = m.type(["i32"], ["i32"])
    const down = m.func(["i32"], ["i32"], { export: "run" }, [minusOne, i32(0), callIndirect(type), i32(1), "i32.add"])
    m.elem(i32(0), [down])
  },
  "an uncounted leaf on top": (m) => {
    const leaf = m.func(["i32"], ["i32"], { locals: ["v128", "v128", "i64", "i64"] }, [get(0), get(1), lane("i32x4.extract_lane", 0), "i32.add"])
    m.func(["i32"], ["i32"], { export: "run" }, (self) => [minusOne, call(leaf), call(self), call(leaf)])
  },
}

const stackBytes = Number(process.argv[2] ?? 262_144)
const report: Record<string, string> = {}
const what = (result: string): string => (result.startsWith("trap") ? "counted" : result.startsWith("range") ? "engine" : result)
for (const [name, build] of Object.entries(shapes)) {
  const m = new Module()
  build(m)
  const guest = instantiate(m.bytes(), { tier: "deadline", stackBytes })
  const cold = what(outcome(() => guest.exports["run"]?.(-1)))
  for (let i = 0; i < 300; i++) {
    guest.stack.value = stackBytes
    outcome(() => guest.exports["run"]?.(-1))
  }
  guest.stack.value = stackBytes
  report[name] = `${cold} ${what(outcome(() => guest.exports["run"]?.(-1)))}`
}
console.log(JSON.stringify(report))
