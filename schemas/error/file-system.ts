import { family, reason } from "./family.ts"

/** Directories that a plugin is to be given. */
export class FileSystemError extends family("FileSystemError", {
  NoDirectory: reason<{ readonly guest: string; readonly host: string; readonly detail: string }>({
    code: "STELE-FSY-0001",
    status: 404,
    exit: 4,
    isRetryable: false,
    message: (d) => `Cannot give "${d.host}" to the plugin as "${d.guest}": ${d.detail}`,
    fix: () => "name a directory that is there, by its absolute path",
  }),
  NotGranted: reason<{ readonly guest: string; readonly host: string }>({
    code: "STELE-FSY-0002",
    status: 403,
    exit: 5,
    isRetryable: false,
    message: (d) => `Cannot give "${d.host}" to the plugin as "${d.guest}": no grant reaches it`,
    fix: (d) => `add a grant: --grant fs:read:${d.host}, and fs:write:${d.host} if it may change it`,
  }),
  Guarded: reason<{ readonly guest: string; readonly host: string; readonly folder: string }>({
    code: "STELE-FSY-0003",
    status: 403,
    exit: 5,
    isRetryable: false,
    message: (d) => `Cannot give "${d.host}" to the plugin as "${d.guest}": it holds or lies in "${d.folder}", which no plugin may reach`,
    fix: () => "give a directory beside it, or a smaller one",
  }),
  NoFileSystem: reason<{ readonly guest: string }>({
    code: "STELE-FSY-0004",
    status: 501,
    exit: 1,
    isRetryable: false,
    message: (d) => `Cannot give a directory to the plugin as "${d.guest}": there is no file system here`,
    fix: () => "open the host with one: Host.open({ ports: { fileSystem: memoryFileSystem() } })",
  }),
}) {}
