export { type FolderLimits, folderLimits, type FolderOptions, FolderStore } from "./store.ts"
