import { injectedNameBytes } from "../../meter/needs.ts"
import { builtin } from "../server.ts"

/** A name of an isolate's own, of 110 random bits. */
export const injectedName = (): string =>
  Array.from(builtin("node:crypto").randomBytes(injectedNameBytes), (byte) => "abcdefghijklmnopqrstuvwxyz012345"[byte & 31]).join("")
