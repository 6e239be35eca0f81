import type { Guest } from "../kit.ts"

export default {
  threat: "a script that calls itself a component",
  bytes: () => new TextEncoder().encode("#!/bin/sh\nglobalThis.PWN = 1\n"),
  expect: { load: "STELE-VFY-0001" },
} satisfies Guest
