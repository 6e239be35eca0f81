/** `stele:example-text/analysis`: word, sentence and paragraph counts, with the canonical ABI written by hand. */
import { freeString, liftString, lowerString, resultArea } from "../../sdk/abi.as"
import { Level, log } from "../../sdk/logging.as"

export { cabiRealloc } from "../../sdk/abi.as"

const TOP_MAX: u32 = 1000
/** `word-count`: string (8 bytes), u32. */
const WORD_COUNT_BYTES: usize = 12
/** `result<summary, string>`: tag, then at 8 (the f64 aligns the whole) the 48 bytes of `summary`. */
const RESULT_BYTES: usize = 56

/** ASCII, Latin with diacritics, Greek and Cyrillic letters: what the shipped text and most European texts need. */
function isLetter(unit: i32): bool {
  if ((unit | 0x20) >= 0x61 && (unit | 0x20) <= 0x7a) return true
  if (unit < 0xc0) return false
  return (unit <= 0x24f && unit != 0xd7 && unit != 0xf7) || (unit >= 0x370 && unit <= 0x52f)
}

function isSpace(unit: i32): bool {
  return unit == 0x20 || (unit >= 0x09 && unit <= 0x0d) || unit == 0xa0
}

/** An apostrophe belongs to a word when letters stand on both sides. */
function isInner(text: string, at: i32): bool {
  const unit = text.charCodeAt(at)
  return (unit == 0x27 || unit == 0x2019) && at + 1 < text.length && isLetter(text.charCodeAt(at + 1))
}

class WordCount {
  constructor(
    readonly word: string,
    readonly letters: i32,
    public count: u32,
  ) {}
}

class Summary {
  words: u32 = 0
  sentences: u32 = 0
  paragraphs: u32 = 0
  letters: u64 = 0
  longest: string = ""
  counts: Map<string, WordCount> = new Map<string, WordCount>()
}

function count(text: string): Summary {
  const summary = new Summary()
  const length = text.length
  /** Words since the last sentence ended and since the last blank line: a sentence or paragraph without a word is none. */
  let sentenceWords = 0
  let paragraphWords = 0
  let at = 0
  while (at < length) {
    const unit = text.charCodeAt(at)
    if (isLetter(unit)) {
      const start = at
      while (at < length && (isLetter(text.charCodeAt(at)) || isInner(text, at))) at += 1
      addWord(summary, text.substring(start, at))
      sentenceWords += 1
      paragraphWords += 1
    } else if (unit == 0x2e || unit == 0x21 || unit == 0x3f) {
      if (sentenceWords > 1 && (at + 1 == length || isSpace(text.charCodeAt(at + 1)))) {
        summary.sentences += 1
        sentenceWords = 0
      }
      at += 1
    } else if (unit == 0x0a) {
      at += 1
      let isBlank = false
      while (at < length && isSpace(text.charCodeAt(at))) {
        if (text.charCodeAt(at) == 0x0a) isBlank = true
        at += 1
      }
      if (isBlank && paragraphWords > 0) {
        summary.paragraphs += 1
        paragraphWords = 0
        if (sentenceWords > 0) summary.sentences += 1
        sentenceWords = 0
      }
    } else at += 1
  }
  if (paragraphWords > 0) summary.paragraphs += 1
  if (sentenceWords > 0) summary.sentences += 1
  return summary
}

function addWord(summary: Summary, written: string): void {
  const letters = written.length
  summary.words += 1
  summary.letters += letters
  if (letters > summary.longest.length) summary.longest = written
  const word = written.toLowerCase()
  if (summary.counts.has(word)) summary.counts.get(word).count += 1
  else summary.counts.set(word, new WordCount(word, letters, 1))
}

function top(summary: Summary, wanted: u32, lettersMin: u32): Array<WordCount> {
  const listed = new Array<WordCount>()
  const all = summary.counts.values()
  for (let index = 0; index < all.length; index += 1) if (<u32>all[index].letters >= lettersMin) listed.push(all[index])
  listed.sort((a, b) => (a.count != b.count ? (a.count < b.count ? 1 : -1) : a.word < b.word ? -1 : 1))
  return listed.slice(0, min<u32>(wanted, listed.length))
}

function fail(area: usize, message: string): usize {
  store<u8>(area, 1)
  lowerString(area + 8, message)
  return area
}

export function analyze(textPtr: usize, textUnits: u32, wanted: u32, lettersMin: u32): usize {
  const text = liftString(textPtr, textUnits)
  const area = resultArea(RESULT_BYTES)
  if (wanted > TOP_MAX) return fail(area, `Cannot list the top words: "top" is ${wanted}, at most ${TOP_MAX} are listed`)
  const summary = count(text)
  if (summary.words == 0) return fail(area, "Cannot analyse a text without words")
  const listed = top(summary, wanted, lettersMin)
  log(Level.info, "text-stats", `Counted ${summary.words} words in ${text.length} code units`)
  lower(area + 8, text.length, summary, listed)
  return area
}

/** The record `summary` at `at`, field by field in the order of the WIT. */
function lower(at: usize, length: u32, summary: Summary, listed: Array<WordCount>): void {
  store<u32>(at, length)
  store<u32>(at, summary.words, 4)
  store<u32>(at, summary.counts.size, 8)
  store<u32>(at, summary.sentences, 12)
  store<u32>(at, summary.paragraphs, 16)
  lowerString(at + 20, summary.longest)
  store<f64>(at, <f64>summary.letters / <f64>summary.words, 32)
  const list = listed.length == 0 ? 4 : heap.alloc(<usize>listed.length * WORD_COUNT_BYTES)
  for (let index = 0; index < listed.length; index += 1) {
    const entry = list + <usize>index * WORD_COUNT_BYTES
    lowerString(entry, listed[index].word)
    store<u32>(entry, listed[index].count, 8)
  }
  store<u32>(at, <u32>list, 40)
  store<u32>(at, listed.length, 44)
}

/** Frees what `analyze` returned, after the host has read it. */
export function analyzePost(area: usize): void {
  if (load<u8>(area) != 0) freeString(area + 8)
  else {
    freeString(area + 28)
    const list = <usize>load<u32>(area, 48)
    const length = load<u32>(area, 52)
    for (let index: u32 = 0; index < length; index += 1) freeString(list + <usize>index * WORD_COUNT_BYTES)
    if (length != 0) heap.free(list)
  }
  heap.free(area)
}
