export { nameOf, objectsName } from "./control.ts"
export { type TenantReaders, tenantReaders } from "./readers.ts"
export { type TenantFilesOptions, TenantFilesStore } from "./store.ts"
