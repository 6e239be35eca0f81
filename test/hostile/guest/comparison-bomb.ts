import {
  component,
  concat,
  externFunc,
  funcOf,
  imported,
  importsOf,
  instances,
  instantiate,
  nested,
  prim,
  recordOf,
  tupleOf,
  types,
} from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

/** A record of 9,000 leaves, written twice, and a nested component that wants twenty thousand functions of the one and is given the other. */
const recordBytes = (): Array<number> => recordOf(...Array.from({ length: 90 }, (_, i) => [`f${i}`, 1] as const))
const record = (): Array<number> => concat(types(tupleOf(...Array.from({ length: 99 }, () => prim.u8))))
const inner = (): Uint8Array =>
  component(
    types(prim.u8),
    record(),
    types(recordBytes(), funcOf([["r", 2]])),
    importsOf(...Array.from({ length: 20_000 }, (_, i) => imported(`f${i}`, externFunc(3)))),
  )

export default {
  threat: "twenty thousand comparisons of types of nine thousand leaves",
  bytes: () =>
    component(
      types(prim.u8),
      record(),
      types(recordBytes(), funcOf([["r", 2]])),
      importsOf(imported("f", externFunc(3))),
      nested(inner()),
      instances(
        instantiate(
          0,
          Array.from({ length: 20_000 }, (_, i) => [`f${i}`, "func", 0] as const),
        ),
      ),
    ),
  load: { missing: "trap" },
  expect: { load: "STELE-VFY-0003" },
  msMax: 10_000,
} satisfies Guest
