/** Options that nobody knows, and limits that limit nothing, are mistakes. */
import { ConfigError } from "../../schemas/error/config.ts"

export const quotaKeys = ["bytesMax", "dispatchesMax", "busyMsMax"] as const
export const acceleratorKeys = ["sources", "mode", "memory", "now", ...quotaKeys] as const
export const runKeys = ["mode", "device", "isTrial", "signal", "deadlineMs", "isRead"] as const

/** Numbers of options, each from 0. @throws ConfigError `UnknownOption`, `Option` */
export function checkOptions(options: object, known: ReadonlyArray<string>, numbers: ReadonlyArray<string>): void {
  for (const [option, value] of Object.entries(options)) {
    if (!known.includes(option)) throw new ConfigError("UnknownOption", { option, known })
    if (numbers.includes(option) && value !== undefined && !(typeof value === "number" && value >= 0))
      throw new ConfigError("Option", { option, expected: "a number from 0", actual: String(value) })
  }
}
