// The world of real.wit in JavaScript, for engines that are components themselves.
import { note } from "test:real/host"

export const api = {
  summarize(text) {
    let checksum = 0x811c9dc5
    for (let i = 0; i < text.length; i++) checksum = Math.imul(checksum ^ text.charCodeAt(i), 0x01000193) >>> 0
    const words = text.split(" ").filter((word) => word !== "")
    if (words.length === 0) throw Object.assign(new Error("no words"), { payload: "no words" })
    const longest = words.reduce((best, word) => (word.length > best.length ? word : best))
    note(longest)
    return { words: words.length, longest, checksum: checksum & 0x7fffffff }
  },
  sort: (numbers) => Float64Array.from(numbers).sort(),
}
