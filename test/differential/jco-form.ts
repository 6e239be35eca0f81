/**
 * What jco makes of a host value where it differs in form and not in meaning: the representations that
 * `differences.ts` names. Everything that is not stated here must be equal to what our host shows.
 */
import { type FunctionType, propertyName, type ValueType } from "../../schemas/wit/model.ts"

/** Names of the differences in `differences.ts` that a form stands for. */
export type FormName = "empty payload" | "option of a tagged option" | "upper-case words" | "byte order mark"
export type Count = (name: FormName) => void

/** jco's property name of a label: every word in lower case, capitalised but the first. */
export function jcoPropertyName(label: string): string {
  const [head = "", ...rest] = label.toLowerCase().split("-")
  return head + rest.map((word) => word.charAt(0).toUpperCase() + word.slice(1)).join("")
}

/** Has `option<type>` a tag in jco's form? Where `undefined` already stands for a value of `type`. */
const tagged = (type: ValueType): boolean => type.kind === "option" && !tagged(type.type)

const key = (label: string, count: Count): string => {
  const name = jcoPropertyName(label)
  if (name !== propertyName(label)) count("upper-case words")
  return name
}

const entries = (pairs: ReadonlyArray<readonly [string, unknown]>): Record<string, unknown> => Object.fromEntries(pairs)

/** jco lifted this value: `count` hears which differences it shows. With `lift` false the form to give to jco. */
export function jcoForm(type: ValueType, value: unknown, count: Count, lift: boolean): unknown {
  const inner = (part: ValueType, v: unknown): unknown => jcoForm(part, v, count, lift)
  switch (type.kind) {
    case "string": {
      const text = value as string
      if (!lift || !text.startsWith("\ufeff")) return text
      count("byte order mark")
      return text.slice(1)
    }
    case "list":
      return ArrayBuffer.isView(value) ? value : (value as ReadonlyArray<unknown>).map((v) => inner(type.element, v))
    case "record":
      return entries(type.fields.map(({ label, type: field }) => [key(label, count), inner(field, (value as Record<string, unknown>)[propertyName(label)])]))
    case "flags":
      return entries(type.labels.map((label) => [key(label, count), (value as Record<string, unknown>)[propertyName(label)]]))
    case "tuple":
      return type.types.map((part, i) => inner(part, (value as ReadonlyArray<unknown>)[i]))
    case "variant":
    case "result": {
      const { tag, val } = value as { readonly tag: string; readonly val?: unknown }
      const payload = type.kind === "result" ? type[tag as "ok" | "err"] : type.cases.find((one) => one.label === tag)?.type
      if (payload !== undefined) return { tag, val: inner(payload, val) }
      if (!lift || type.kind === "variant") return { tag }
      count("empty payload")
      return { tag, val: undefined }
    }
    case "option": {
      if (type.type.kind !== "option") return value === undefined ? undefined : inner(type.type, value)
      const { tag, val } = value as { readonly tag: string; readonly val?: unknown }
      if (!tagged(type.type)) {
        count("option of a tagged option")
        return tag === "none" ? undefined : inner(type.type, val)
      }
      if (tag === "some") return { tag, val: inner(type.type, val) }
      return { tag }
    }
    default:
      return value
  }
}

/** The same of a function's arguments. */
export const jcoArguments = (type: FunctionType, args: ReadonlyArray<unknown>, count: Count, lift: boolean): ReadonlyArray<unknown> =>
  args.map((arg, i) => jcoForm((type.params[i] as { readonly type: ValueType }).type, arg, count, lift))

/** The same of a function's answer, whose outermost `result` both hosts throw and this test puts together again. */
export function jcoAnswer(type: FunctionType, answer: unknown, count: Count, lift: boolean): unknown {
  const { result } = type
  if (result === undefined) return answer
  if (result.kind !== "result") return jcoForm(result, answer, count, lift)
  const { tag, val } = answer as { readonly tag: "ok" | "err"; readonly val?: unknown }
  const payload = result[tag]
  return payload === undefined ? { tag } : { tag, val: jcoForm(payload, val, count, lift) }
}
