/**
 * Everything that is wrong with a JSON value, each with its path. `fromJson` stops at the first mistake, which is what a
 * call needs; whoever sent the value wants to mend all of them at once. Runs only on values that `fromJson` refused.
 */
import { WitError } from "../error/wit.ts"
import { type FunctionType, propertyName, type ValueType } from "../wit/model.ts"
import { shapeText } from "../wit/print.ts"
import { describe, isPlain, isTaggedOption, ownField, quote } from "./form.ts"
import { argumentsFromJson, fromJson } from "./json.ts"

export interface Problem {
  readonly path: string
  readonly expected: string
  readonly actual: string
}

/** Problems that are listed: a body of a megabyte can hold a million. */
export const problemsMax = 100

/** Thrown to end a search that has found enough. */
const enough = Symbol("enough")

const keyText = (key: string): string => (/^[A-Za-z_$][\w$]*$/.test(key) ? `.${key}` : `[${quote(key)}]`)

class Finder {
  readonly problems: Array<Problem> = []
  isCut = false

  add(problem: Problem): void {
    if (this.problems.length === problemsMax) {
      this.isCut = true
      throw enough
    }
    this.problems.push(problem)
  }

  /** What `work` refuses is one problem. */
  attempt(path: string, work: () => unknown): void {
    try {
      work()
    } catch (error) {
      if (!(error instanceof WitError)) throw error
      const { reason } = error
      if (reason._tag === "Value") this.add({ path: reason.path, expected: reason.expected, actual: reason.actual })
      else if (reason._tag === "ArgumentCount") this.add({ path, expected: `${reason.expected} arguments`, actual: `array of ${reason.actual}` })
      else throw error
    }
  }

  unknown(type: ValueType, value: object, known: ReadonlyArray<string>, path: string): void {
    for (const key of Object.keys(value))
      if (!known.includes(key)) this.add({ path, expected: `part of ${shapeText(type)}`, actual: `unknown property ${quote(key)}` })
  }

  fields(type: ValueType, value: object, fields: ReadonlyArray<readonly [key: string, type: ValueType]>, path: string): void {
    this.unknown(
      type,
      value,
      fields.map(([key]) => key),
      path,
    )
    for (const [key, inner] of fields) this.look(inner, ownField(value, key), path + keyText(key))
  }

  tagged(type: ValueType, value: object, cases: ReadonlyArray<readonly [tag: string, payload: ValueType | undefined]>, path: string): void {
    const tag = ownField(value, "tag")
    const found = cases.find(([name]) => name === tag)
    if (found === undefined) return this.add({ path: `${path}.tag`, expected: `a case of ${shapeText(type)}`, actual: describe(tag) })
    this.unknown(type, value, ["tag", "val"], path)
    const val = ownField(value, "val")
    if (found[1] !== undefined) this.look(found[1], val, `${path}.val`)
    else if (val !== undefined && val !== null) this.add({ path: `${path}.val`, expected: `the empty payload of "${found[0]}"`, actual: describe(val) })
  }

  /** As deep as the type, which `fromJson` has bounded before. */
  look(type: ValueType, value: unknown, path: string): void {
    switch (type.kind) {
      case "list":
        if (type.element.kind === "u8" || !Array.isArray(value)) break
        return value.forEach((each, i) => this.look(type.element, each, `${path}[${i}]`))
      case "tuple":
        if (!Array.isArray(value) || value.length !== type.types.length) break
        return type.types.forEach((each, i) => this.look(each, value[i], `${path}[${i}]`))
      case "record":
        if (!isPlain(value)) break
        return this.fields(
          type,
          value,
          type.fields.map((field) => [propertyName(field.label), field.type]),
          path,
        )
      case "variant":
        if (!isPlain(value)) break
        return this.tagged(
          type,
          value,
          type.cases.map((each) => [each.label, each.type]),
          path,
        )
      case "result":
        if (!isPlain(value)) break
        return this.tagged(
          type,
          value,
          [
            ["ok", type.ok],
            ["err", type.err],
          ],
          path,
        )
      case "option":
        if (value === null || value === undefined) return
        if (!isTaggedOption(type.type)) return this.look(type.type, value, path)
        if (!isPlain(value)) break
        return this.tagged(
          type,
          value,
          [
            ["none", undefined],
            ["some", type.type],
          ],
          path,
        )
      case "flags": {
        if (!isPlain(value)) break
        const keys = type.labels.map(propertyName)
        this.unknown(type, value, keys, path)
        for (const key of keys) {
          const flag = ownField(value, key)
          if (flag !== undefined && typeof flag !== "boolean") this.add({ path: path + keyText(key), expected: "bool", actual: describe(flag) })
        }
        return
      }
      default:
    }
    // A leaf, or a value of another shape altogether.
    this.attempt(path, () => fromJson(type, value, path))
  }
}

export interface Problems {
  readonly problems: ReadonlyArray<Problem>
  /** There are more than are listed. */
  readonly isCut: boolean
}

/**
 * All mistakes in `json` as the arguments of a call: none exactly where `argumentsFromJson` accepts it.
 * @throws WitError `Inexpressible` for a function that takes handles; LimitError `typeDepthMax`
 */
export function argumentProblems(name: string, func: FunctionType, json: unknown): Problems {
  const finder = new Finder()
  finder.attempt("args", () => argumentsFromJson(name, func, json))
  const [first] = finder.problems
  // Neither an array nor the right number of arguments: there is nothing to go into.
  if (first === undefined || first.path === "args" || !Array.isArray(json)) return finder
  const all = new Finder()
  try {
    func.params.forEach(({ type }, i) => all.look(type, json[i], `args[${i}]`))
  } catch (error) {
    if (error !== enough) throw error
  }
  return all
}
