/** What flows back with time, in thousandths of a token, so that no part of one is lost between two requests. */
import { addSaturating, mulSaturating } from "../../../kernels/saturating/saturating.as"
import { Config } from "../bindings/core"
import { Bucket } from "./state.as"

export function refill(bucket: Bucket, config: Config, nowMs: u64): void {
  const flowed = addSaturating(mulSaturating(nowMs - bucket.atMs, config.refillPerSecond), bucket.thousandths)
  bucket.atMs = nowMs
  const tokens = addSaturating(bucket.tokens, flowed / 1000)
  const isFull = tokens >= config.capacity
  bucket.tokens = isFull ? config.capacity : tokens
  bucket.thousandths = isFull ? 0 : flowed % 1000
}

/** Milliseconds until `tokens` are there; 0 where they never will be. */
export function waitMs(bucket: Bucket, config: Config, tokens: u64): u64 {
  if (tokens > config.capacity || config.refillPerSecond == 0) return 0
  const needed = mulSaturating(tokens - bucket.tokens, 1000) - bucket.thousandths
  return (needed - 1) / config.refillPerSecond + 1
}
