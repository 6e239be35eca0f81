/** The canonical ABI by closures: `docs/adr/0007-canonical-abi-closures.md`. */
export { bindExport, bindImport, type CoreFunction, type ExportBinding, type ImportBinding } from "./bind.ts"
export {
  type AbiContext,
  AbiTrap,
  attachMemory,
  type CallBudget,
  createContext,
  type HandleTable,
  type InstanceState,
  type Realloc,
  refreshViews,
  type StringEncoding,
} from "./context.ts"
export { alignOf, type CoreSignature, type FlatType, flattenExport, flattenImport, sizeOf } from "../../schemas/wit/layout.ts"
export type { CoreValue } from "./number.ts"
