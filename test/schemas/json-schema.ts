/** A validator of the JSON Schema 2020-12 keywords that `jsonSchema()` writes; any other keyword is an error. */
type Schema = { readonly [keyword: string]: unknown }

const annotations: ReadonlySet<string> = new Set(["$schema", "$defs", "title", "contentEncoding"])

export function isValid(json: unknown, root: Schema): boolean {
  const check = (value: unknown, schema: unknown): boolean => {
    if (typeof schema === "boolean") return schema
    const known = schema as Schema
    return Object.entries(known).every(([keyword, arg]) => annotations.has(keyword) || test(value, keyword, arg, known))
  }
  const test = (value: unknown, keyword: string, arg: unknown, schema: Schema): boolean => {
    const isObject = typeof value === "object" && value !== null && !Array.isArray(value)
    switch (keyword) {
      case "$ref": {
        const key = /^#\/\$defs\/([\w.-]+)$/.exec(String(arg))?.[1]
        const defs = root["$defs"] as Schema
        if (key === undefined || !Object.hasOwn(defs, key)) throw new Error(`Cannot follow ${String(arg)}`)
        return check(value, defs[key])
      }
      case "type":
        if (arg === "integer") return Number.isInteger(value)
        return arg === "null" ? value === null : arg === "array" ? Array.isArray(value) : arg === "object" ? isObject : typeof value === arg
      case "const":
        return value === arg
      case "enum":
        return (arg as ReadonlyArray<unknown>).includes(value)
      case "anyOf":
        return (arg as ReadonlyArray<unknown>).some((part) => check(value, part))
      case "oneOf":
        return (arg as ReadonlyArray<unknown>).filter((part) => check(value, part)).length === 1
      case "minimum":
        return typeof value !== "number" || value >= Number(arg)
      case "maximum":
        return typeof value !== "number" || value <= Number(arg)
      case "minLength":
        return typeof value !== "string" || [...value].length >= Number(arg)
      case "maxLength":
        return typeof value !== "string" || [...value].length <= Number(arg)
      case "pattern":
        return typeof value !== "string" || new RegExp(String(arg), "u").test(value)
      case "minItems":
        return !Array.isArray(value) || value.length >= Number(arg)
      case "maxItems":
        return !Array.isArray(value) || value.length <= Number(arg)
      case "prefixItems":
        return !Array.isArray(value) || (arg as ReadonlyArray<unknown>).every((part, i) => i >= value.length || check(value[i], part))
      case "items": {
        const skip = (schema["prefixItems"] as ReadonlyArray<unknown> | undefined)?.length ?? 0
        return !Array.isArray(value) || value.slice(skip).every((item) => check(item, arg))
      }
      case "properties":
        return !isObject || Object.entries(arg as Schema).every(([key, part]) => !Object.hasOwn(value, key) || check((value as Schema)[key], part))
      case "required":
        return !isObject || (arg as ReadonlyArray<string>).every((key) => Object.hasOwn(value, key))
      case "additionalProperties":
        return !isObject || arg !== false || Object.keys(value).every((key) => Object.hasOwn((schema["properties"] ?? {}) as Schema, key))
      default:
        throw new Error(`Cannot validate the keyword "${keyword}"`)
    }
  }
  return check(json, root)
}
