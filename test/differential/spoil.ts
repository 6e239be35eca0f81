/** Wrong values: a sound value with one place in it made wrong, and the path that a refusal must name. */
import { propertyName, type ValueType } from "../../schemas/wit/model.ts"

export interface Spoilt {
  readonly value: unknown
  /** From the value's root: `.name[0].val`. */
  readonly path: string
}

/** What each scalar must not take, though JavaScript would convert it. */
const wrong: Readonly<Record<string, ReadonlyArray<unknown>>> = {
  bool: [1, "true", null],
  s8: [-129, 128, 0.5],
  u8: [-1, 256, "7"],
  s16: [-32_769, 32_768, null],
  u16: [-1, 65_536, true],
  s32: [-(2 ** 31) - 1, 2 ** 31, 1n],
  u32: [-1, 2 ** 32, Number.NaN],
  s64: [0, -(2n ** 63n) - 1n, 2n ** 63n],
  u64: [1, -1n, 2n ** 64n],
  f32: ["1", null, 1n],
  f64: ["1", undefined, new Number(1)],
  char: ["", "ab", "\ud800", 65],
  string: [7, null, undefined, ["a"]],
}

/** Every place of `value` that one of its first elements reaches, each made wrong in one way. */
export function spoil(type: ValueType, value: unknown, salt = 0): ReadonlyArray<Spoilt> {
  const pick = (choices: ReadonlyArray<unknown>): Spoilt => ({ value: choices[salt % choices.length], path: "" })
  const inside = (part: ValueType, inner: unknown, step: string, rebuild: (spoilt: unknown) => unknown): ReadonlyArray<Spoilt> =>
    spoil(part, inner, salt + 1).map((one) => ({ value: rebuild(one.value), path: step + one.path }))
  switch (type.kind) {
    case "list": {
      const items = Array.from(value as Iterable<unknown>)
      const here = pick(["a list", { length: 1, 0: 0 }, null, 3])
      return items.length === 0 ? [here] : [here, ...inside(type.element, items[0], "[0]", (spoilt) => [spoilt, ...items.slice(1)])]
    }
    case "record": {
      const fields = value as Readonly<Record<string, unknown>>
      const out = [pick([null, 1, "{}", undefined])]
      for (const { label, type: field } of type.fields) {
        const key = propertyName(label)
        out.push(
          ...inside(field, fields[key], `.${key}`, (spoilt) =>
            Object.fromEntries(Object.keys(fields).map((name) => [name, name === key ? spoilt : fields[name]])),
          ),
        )
      }
      return out
    }
    case "tuple": {
      const parts = value as ReadonlyArray<unknown>
      return [
        pick([[...parts, 0], parts.slice(1), null, { ...parts }]),
        ...type.types.flatMap((part, i) => inside(part, parts[i], `[${i}]`, (spoilt) => parts.with(i, spoilt))),
      ]
    }
    case "variant":
    case "result": {
      const { tag, val } = value as { readonly tag: string; readonly val?: unknown }
      const payload = type.kind === "result" ? type[tag as "ok" | "err"] : type.cases.find((one) => one.label === tag)?.type
      const out: Array<Spoilt> = [pick([null, tag, 0]), { value: { tag: "no such case", val }, path: ".tag" }]
      if (payload === undefined) return [...out, { value: { tag, val: 1 }, path: ".val" }]
      return [...out, ...inside(payload, val, ".val", (spoilt) => ({ tag, val: spoilt }))]
    }
    case "option": {
      if (type.type.kind !== "option")
        return value === undefined ? [] : inside(type.type, value, "", (spoilt) => spoilt).filter((one) => one.value !== undefined)
      const { tag, val } = value as { readonly tag: string; readonly val?: unknown }
      const out: Array<Spoilt> = [pick([null, 5, "some"]), { value: { tag: "maybe" }, path: ".tag" }]
      return tag === "some" ? [...out, ...inside(type.type, val, ".val", (spoilt) => ({ tag, val: spoilt }))] : out
    }
    case "enum":
      return [pick(["no such case", 0, null])]
    case "flags": {
      const key = propertyName(type.labels[0] as string)
      return [pick([null, [], 3]), { value: { ...(value as object), [key]: 1 }, path: `.${key}` }]
    }
    case "own":
    case "borrow":
      return [pick([null, 1, {}])]
    default:
      return [pick(wrong[type.kind] as ReadonlyArray<unknown>)]
  }
}
