/** A cap that tests share. */
import type { Cap } from "../../../runtime/billing/cap.ts"

export const capOf = (upTo: bigint): Cap => ({
  account: "ada",
  charge: "team/executions",
  period: { start: 1_796_083_200_000_000n, end: 1_798_761_600_000_000n },
  upTo,
  scale: 0,
  unit: "executions",
})
