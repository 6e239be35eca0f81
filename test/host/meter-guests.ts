/**
 * Random core modules that end: every loop turn and call takes from a counter of the guest's own, and a function
 * returns when it is spent. They branch, call directly, through a table, by tail calls and recursively, throw and catch,
 * move memory, trap now and then, and make NaNs. Exports: `run` (i32, i32) → i32, `memory`, `sum` (global i64), `counter`.
 */
import { random } from "./stop-soundness-guests.ts"
import {
  block,
  br,
  brIf,
  brTable,
  call,
  callIndirect,
  type Code,
  f32,
  f64,
  get,
  globalGet,
  globalSet,
  i32,
  i64,
  iff,
  lane,
  loop,
  mem,
  memoryCopy,
  memoryFill,
  memoryGrow,
  memorySize,
  Module,
  returnCall,
  returnCallIndirect,
  set,
  tableSize,
  tee,
  throwTag,
  tryTable,
} from "./wasm-builder.ts"

/** `nanBits`: whether the guest looks at the bits of its floats (then only `fuel` gives the same on every machine). */
export function randomGuest(seed: number, nanBits: boolean): Uint8Array<ArrayBuffer> {
  const pick = random(seed)
  const int = (below: number): number => pick(below) | 0
  const m = new Module()
  const host = m.importFunc("env", "mix", ["i32"], ["i32"])
  m.memory(1, 6)
  const functionCount = 3 + int(5)
  const table = m.table("funcref", functionCount + 2)
  const sum = m.global("i64", true, i64(0))
  const counter = m.global("i32", true, i32(600))
  const tag = m.tag(["i32"])
  const type = m.type(["i32", "i32"], ["i32"])
  m.export("memory", "memory", 0).export("sum", "global", sum).export("counter", "global", counter)
  const first = 1
  // Locals: 0 and 1 i32 parameters, 2 and 3 i32, 4 i64, 5 f32, 6 f64, 7 v128.
  const locals = ["i32", "i32", "i64", "f32", "f64", "v128"] as const
  const address = (): Code => [int32(1), i32(0xfff8), "i32.and"]
  function int32(depth: number): Code {
    const choice = int(depth <= 0 ? 3 : 16)
    switch (choice) {
      case 0:
        return i32(int(1 << 30) >> int(28))
      case 1:
      case 2:
        return get(int(4))
      case 3:
        return [int32(depth - 1), int32(depth - 1), ["i32.div_s", "i32.rem_u", "i32.rotl"][int(3)] as string]
      case 4:
        return [address(), mem(["i32.load", "i32.load8_s", "i32.load16_u"][int(3)] as string, int(32))]
      case 5:
        return [int64(depth - 1), "i32.wrap_i64"]
      case 6:
        return [float64(depth - 1), float64(depth - 1), ["f64.lt", "f64.eq", "f64.ge"][int(3)] as string]
      case 7:
        return [float32(depth - 1), "i32.trunc_sat_f32_s"]
      case 8:
        return [get(int(2)), int32(depth - 1), call(first + int(functionCount))]
      case 9:
        return [get(int(2)), int32(depth - 1), int32(0), i32(functionCount + 1), "i32.rem_u", callIndirect(type)]
      case 10:
        return [int32(depth - 1), call(host)]
      case 11:
        return [iffResult(int32(depth - 1), int32(depth - 1), int32(depth - 1))]
      case 12:
        return nanBits ? [float32(depth - 1), "i32.reinterpret_f32"] : memorySize
      case 13:
        return nanBits ? [float64(depth - 1), "i64.reinterpret_f64", "i32.wrap_i64"] : tableSize(table)
      case 14:
        return [int32(depth - 1), int32(depth - 1), int32(depth - 1), "select"]
      default:
        return [int32(depth - 1), int32(depth - 1), ["i32.add", "i32.sub", "i32.mul", "i32.xor", "i32.lt_s", "i32.shl"][int(6)] as string]
    }
  }
  function int64(depth: number): Code {
    if (depth <= 0 || int(3) === 0) return int(2) === 0 ? get(4) : i64(BigInt(int(1 << 30)) << BigInt(int(32)))
    if (int(4) === 0) return [int32(depth - 1), "i64.extend_i32_s"]
    if (nanBits && int(3) === 0) return [float64(depth - 1), "i64.reinterpret_f64"]
    return [int64(depth - 1), int64(depth - 1), ["i64.add", "i64.mul", "i64.xor", "i64.shr_u"][int(4)] as string]
  }
  function float32(depth: number): Code {
    if (depth <= 0 || int(4) === 0) return int(2) === 0 ? get(5) : f32([0, -0, 1.5, -3, Infinity, -Infinity, NaN][int(7)] as number)
    const choice = int(6)
    if (choice === 0) return [float64(depth - 1), "f32.demote_f64"]
    if (choice === 1) return [vector(depth - 1), lane("f32x4.extract_lane", int(4))]
    if (choice === 2) return [float32(depth - 1), ["f32.sqrt", "f32.neg", "f32.abs", "f32.nearest"][int(4)] as string]
    return [
      float32(depth - 1),
      float32(depth - 1),
      ["f32.add", "f32.sub", "f32.mul", "f32.div", "f32.min", nanBits ? "f32.copysign" : "f32.max"][int(6)] as string,
    ]
  }
  function float64(depth: number): Code {
    if (depth <= 0 || int(4) === 0) return int(2) === 0 ? get(6) : f64([0, -0, 2.5, -7, Infinity, -Infinity, NaN][int(7)] as number)
    const choice = int(6)
    if (choice === 0) return [float32(depth - 1), "f64.promote_f32"]
    if (choice === 1) return [int32(depth - 1), "f64.convert_i32_s"]
    if (choice === 2) return [float64(depth - 1), ["f64.sqrt", "f64.neg", "f64.floor", "f64.trunc"][int(4)] as string]
    return [
      float64(depth - 1),
      float64(depth - 1),
      ["f64.add", "f64.sub", "f64.mul", "f64.div", "f64.max", nanBits ? "f64.copysign" : "f64.min"][int(6)] as string,
    ]
  }
  function vector(depth: number): Code {
    if (depth <= 0 || int(3) === 0) return int(2) === 0 ? get(7) : [float32(depth - 1), "f32x4.splat"]
    if (int(4) === 0) return [vector(depth - 1), ["f32x4.sqrt", "f32x4.neg", "f64x2.promote_low_f32x4", "f64x2.sqrt"][int(nanBits ? 4 : 2)] as string]
    return [
      vector(depth - 1),
      vector(depth - 1),
      ["f32x4.add", "f32x4.div", "f32x4.pmin", "f64x2.mul", "f64x2.div", "f64x2.max", "v128.xor"][int(nanBits ? 7 : 3)] as string,
    ]
  }
  const iffResult = (condition: Code, then: Code, otherwise: Code): Code => [condition, iff(["i32"], [then], [otherwise])]
  /** Takes one from the counter; leaves the function with 0 when it is spent. */
  const spend: Code = [globalGet(counter), i32(1), "i32.sub", globalSet(counter), globalGet(counter), i32(0), "i32.lt_s", iff([], [i32(0), "return"])]
  /** `labels`: enclosing blocks without results that a branch may leave for. */
  function statement(depth: number, labels: number): Code {
    const nested = (count = 1 + int(3)): Array<Code> => Array.from({ length: count }, () => statement(depth - 1, labels + 1))
    switch (int(depth <= 0 ? 7 : 17)) {
      case 0:
        return [int32(3), set(int(4))]
      case 1:
        return [int64(2), set(4)]
      case 2:
        return [float32(3), set(5)]
      case 3:
        return [float64(3), set(6)]
      case 4:
        return [vector(3), set(7)]
      case 5:
        return [globalGet(sum), int64(2), "i64.add", globalSet(sum)]
      case 6:
        return int(3) > 0
          ? [address(), int32(2), mem("i32.store", int(64))]
          : nanBits
            ? [address(), float64(2), mem("f64.store")]
            : [address(), int64(1), mem("i64.store")]
      case 7:
        return [int32(2), iff([], nested(), int(2) === 0 ? undefined : nested())]
      case 8:
        return block([], nested(), [int32(2), brIf(0)], nested())
      case 9:
        return loop([], spend, nested(), [int32(2), brIf(0)])
      case 10:
        return block([], block([], block([], [int32(2), brTable(int(3), int(3), int(3), 2)]), nested(1)), nested(1))
      case 11:
        return labels > 0 ? [int32(1), iff([], [br(1 + int(labels))])] : "nop"
      case 12:
        return [address(), int32(1), i32(int(3_000)), memoryFill]
      case 13:
        return [address(), address(), [int32(0), i32(0x3ff), "i32.and"], memoryCopy]
      case 14:
        return [i32(int(3)), memoryGrow, set(int(4))]
      case 15:
        return [block(["i32"], tryTable(["i32"], [{ tag, label: 0 }], int32(3), [int32(1), iff([], [int32(1), throwTag(tag)])])), tee(2), "drop"]
      default:
        return int(3) === 0 ? [int32(2), iff([], [int32(1), "return"])] : [int32(3), "drop"]
    }
  }
  const functions: Array<number> = []
  for (let f = 0; f < functionCount; f++) {
    const statements = Array.from({ length: 2 + int(5) }, () => statement(3, 0))
    const tail = int(6)
    functions.push(
      m.func(["i32", "i32"], ["i32"], { ...(f === 0 ? { export: "run" } : {}), locals, name: `f${f}` }, [
        spend,
        statements,
        tail === 0
          ? [get(1), get(2), returnCall(first + int(functionCount))]
          : tail === 1
            ? [get(1), get(2), i32(int(functionCount)), returnCallIndirect(type)]
            : int32(3),
      ]),
    )
  }
  m.elem(i32(0), functions)
  return m.bytes()
}
