import { Options, Summary, WordCount } from "../bindings/analysis"
import { Level, log } from "../bindings/logging"
import { err, ok, Result } from "../bindings/runtime"

const TOP_MAX: u32 = 1000

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

class Counts {
  words: u32 = 0
  sentences: u32 = 0
  paragraphs: u32 = 0
  letters: u64 = 0
  longest: string = ""
  byWord: Map<string, WordCount> = new Map<string, WordCount>()
  /** Words since the last sentence ended and since the last blank line: a sentence or paragraph without a word is none. */
  inSentence: u32 = 0
  inParagraph: u32 = 0

  addWord(written: string): void {
    this.words++
    this.inSentence++
    this.inParagraph++
    this.letters += written.length
    if (written.length > this.longest.length) this.longest = written
    const word = written.toLowerCase()
    if (this.byWord.has(word)) this.byWord.get(word).count++
    else this.byWord.set(word, new WordCount(word, 1))
  }

  endSentence(wordsMin: u32): void {
    if (this.inSentence < wordsMin) return
    this.sentences++
    this.inSentence = 0
  }

  endParagraph(): void {
    this.endSentence(1)
    if (this.inParagraph > 0) this.paragraphs++
    this.inParagraph = 0
  }
}

function count(text: string): Counts {
  const counts = new Counts()
  for (let at = 0; at < text.length;) {
    const start = at
    while (at < text.length && (isLetter(text.charCodeAt(at)) || (at > start && isInner(text, at)))) at++
    if (at > start) counts.addWord(text.substring(start, at))
    if (at == text.length) break
    const unit = text.charCodeAt(at++)
    // A mark after a single word is an abbreviation's or a number's.
    if ((unit == 0x2e || unit == 0x21 || unit == 0x3f) && (at == text.length || isSpace(text.charCodeAt(at)))) counts.endSentence(2)
    if (unit != 0x0a) continue
    let isBlank = false
    for (; at < text.length && isSpace(text.charCodeAt(at)); at++) if (text.charCodeAt(at) == 0x0a) isBlank = true
    if (isBlank) counts.endParagraph()
  }
  counts.endParagraph()
  return counts
}

/** The most frequent first; equal counts in the order of their code units. */
function top(counts: Counts, wanted: u32, lettersMin: u32): Array<WordCount> {
  const all = counts.byWord.values()
  const listed = new Array<WordCount>()
  for (let i = 0; i < all.length; i++) if (<u32>all[i].word.length >= lettersMin) listed.push(all[i])
  listed.sort((a, b) => (a.count != b.count ? (a.count < b.count ? 1 : -1) : a.word < b.word ? -1 : 1))
  return listed.slice(0, min<u32>(wanted, listed.length))
}

export function analyze(text: string, options: Options): Result<Summary, string> {
  const wanted = options.top
  if (wanted > TOP_MAX) return err<Summary, string>(`Cannot list the top words: "top" is ${wanted}, at most ${TOP_MAX} are listed`)
  const counts = count(text)
  const words = counts.words
  if (words == 0) return err<Summary, string>("Cannot analyse a text without words")
  log(Level.info, "text-stats", `Counted ${words} words in ${text.length} code units`)
  const mean = <f64>counts.letters / <f64>words
  const listed = top(counts, wanted, options.minLetters)
  return ok<Summary, string>(new Summary(text.length, words, counts.byWord.size, counts.sentences, counts.paragraphs, counts.longest, mean, listed))
}
