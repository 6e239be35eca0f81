/** Waits for the files of a project to change. */
import { type FSWatcher, watch } from "node:fs"
import { sep } from "node:path"

/** Folders of a project that builds and tools write. */
const written = new Set(["build", "bindings", "node_modules", "target", ".git", "__pycache__"])
/** Editors write a file in several steps: changes so close together are one, ms. */
const settleMs = 20

export interface Watcher extends Disposable {
  /** Resolves with when it began, by `performance.now()`, once something has changed since the last time. */
  changed(): Promise<number>
}

export function watchProject(folder: string): Watcher {
  let firstMs: number | undefined
  let timer: NodeJS.Timeout | undefined
  let wake: ((ms: number) => void) | undefined
  let settledMs: number | undefined
  const settle = (): void => {
    settledMs = firstMs
    firstMs = undefined
    if (settledMs === undefined || wake === undefined) return
    const [tell, ms] = [wake, settledMs]
    wake = undefined
    settledMs = undefined
    tell(ms)
  }
  const watcher: FSWatcher = watch(folder, { recursive: true }, (_event, name) => {
    if (name !== null && written.has((name.split(sep)[0] as string) ?? "")) return
    firstMs ??= performance.now()
    clearTimeout(timer)
    timer = setTimeout(settle, settleMs)
  })
  return {
    changed: () =>
      new Promise((resolve) => {
        wake = resolve
        if (settledMs !== undefined) {
          const ms = settledMs
          wake = undefined
          settledMs = undefined
          resolve(ms)
        }
      }),
    [Symbol.dispose]() {
      clearTimeout(timer)
      watcher.close()
    },
  }
}
