/** What a core can do at most with 128 bits: fused multiplications and additions that wait for nothing, in twelve registers. */
import { parse } from "@bytecodealliance/jco-transpile/wasm-tools"

const lanes = Array.from({ length: 12 }, (_, i) => i)

/** Runs `n` turns of 12 × 4 fused operations. */
export async function peak(): Promise<(n: number) => number> {
  const text = `(module (func (export "run") (param $n i32) (result f32)
    ${lanes.map((i) => `(local $a${i} v128)`).join(" ")} (local $x v128) (local $y v128)
    (local.set $x (v128.const f32x4 0.5 0.5 0.5 0.5)) (local.set $y (v128.const f32x4 0.25 0.25 0.25 0.25))
    (loop $l
      ${lanes.map((i) => `(local.set $a${i} (f32x4.relaxed_madd (local.get $x) (local.get $y) (local.get $a${i})))`).join("\n      ")}
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (f32x4.extract_lane 0 ${lanes.slice(1).reduce((sum, i) => `(f32x4.add ${sum} (local.get $a${i}))`, "(local.get $a0)")})))`
  const { instance } = await WebAssembly.instantiate((await parse(text)) as Uint8Array<ArrayBuffer>)
  return instance.exports["run"] as (n: number) => number
}

/** Operations of a turn. */
export const peakOperations = lanes.length * 4 * 2
