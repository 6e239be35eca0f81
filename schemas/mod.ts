/**
 * What crosses a boundary: the WIT type model, values in host, JSON and WAVE form, schemas, and tagged errors.
 *
 * Loads no dependency. Effect Schemas of WIT types are in `schemas/wit/effect-schema.ts`, which does.
 */
export * from "./error/mod.ts"
export { ExtismError } from "./error/extism.ts"
export { FileSystemError } from "./error/file-system.ts"
export { IsolateError } from "./error/isolate.ts"
export { answerToJson, argumentsFromJson, fromJson, type Json, toJson } from "./value/json.ts"
export { argumentsFromWave, fromWave, toWave } from "./value/wave.ts"
export { differenceText, functionDifference, interfaceDifference, type ResourceMap, typeDifference, type TypeDifference } from "./wit/equal.ts"
export type { AnswerOf, Arguments, ExportName, UntypedExports } from "./wit/exports.ts"
export { functionJsonSchema, type FunctionJsonSchema, jsonSchema, type JsonSchema } from "./wit/json-schema.ts"
export * from "./wit/model.ts"
export { functionText, interfaceText, shapeText, typeText, worldText } from "./wit/print.ts"
export { type Answer, answer } from "./wit/tree.ts"
export { declarations } from "./wit/typescript.ts"
