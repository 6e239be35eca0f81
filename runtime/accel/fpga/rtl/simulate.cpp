// Drives the matcher that verilator made, by frames on standard input and output; `simulate.v` speaks the same for vvp. All numbers are little-endian.
//
//   to it    operation u8, flags u8, every u16, length u32, that many bytes
//   from it  length in words u32, that many words of 32 bits
//
//   1 what it is       -> version, BYTES, PATTERNS, LENGTH, DEPTH
//   2 literals         PATTERNS * LENGTH times a byte and its flags (1 care, 2 span) -> clocks
//   3 a piece of text  flags 1 first, 2 last; a result is taken every `every` clocks -> clocks, clocks that a word waited, then each result: word, last, hits
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>
#include "Vmatcher.h"
#include "verilated.h"

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "ports are written as bytes");

static const uint32_t version = 1;
static const size_t hit_words = (BYTES * PATTERNS + 31) / 32;
// No text waits longer for a result than this: 65,535 clocks for each of those that are in the queue.
static const uint64_t idle_clocks_max = 65536ull * (DEPTH + 8);
static VerilatedContext context;
static Vmatcher top{&context};
static std::vector<uint32_t> answer;

// Sits in `answer` before everything else.
static void say() {
  answer[0] = answer.size() - 1;
  if (fwrite(answer.data(), 4, answer.size(), stdout) != answer.size() || fflush(stdout) != 0) exit(1);
}

static void fail(const char *why) {
  fprintf(stderr, "%s\n", why);
  exit(1);
}

static void fall() {
  top.clk = 0;
  top.eval();
}

static void rise() {
  top.clk = 1;
  top.eval();
}

// Takes the result there is, if one is to be taken now. Whether it was the text's last.
static bool take(bool is_time) {
  top.result_ready = is_time;
  if (!is_time || !top.result_valid) return false;
  answer.push_back(top.result_word);
  answer.push_back(top.result_last);
  uint32_t hits[hit_words] = {};
  memcpy(hits, &top.result_hits, sizeof top.result_hits < sizeof hits ? sizeof top.result_hits : sizeof hits);
  answer.insert(answer.end(), hits, hits + hit_words);
  return top.result_last;
}

static void load(const std::vector<uint8_t> &literals) {
  if (literals.size() != 2 * PATTERNS * LENGTH) fail("literals of another size");
  for (size_t n = 0; n < PATTERNS * LENGTH; n++) {
    fall();
    top.load_valid = 1;
    top.load_slot = n / LENGTH;
    top.load_value = literals[2 * n];
    top.load_care = literals[2 * n + 1] & 1;
    top.load_span = literals[2 * n + 1] >> 1 & 1;
    rise();
  }
  top.load_valid = 0;
  answer = {0, PATTERNS * LENGTH};
  say();
}

static void search(const std::vector<uint8_t> &text, bool is_first, bool is_last, uint32_t every) {
  static uint64_t clock;
  uint32_t clocks = 0, waited = 0;
  uint64_t idle = 0;
  bool is_over = false;
  answer = {0, 0, 0};
  if (is_first) clock = 0;
  size_t at = 0;
  bool is_given = text.empty() && !is_last;
  while (!is_given || (is_last && !is_over)) {
    fall();
    bool is_accepted = false;
    top.text_valid = !is_given;
    if (!is_given) {
      const size_t left = text.size() - at;
      const size_t count = left < BYTES ? left : BYTES;
      uint8_t word[BYTES] = {};
      memcpy(word, text.data() + at, count);
      memcpy(&top.text_data, word, BYTES);
      top.text_count = count;
      top.text_first = is_first && at == 0;
      top.text_last = is_last && left <= BYTES;
      is_accepted = top.text_ready;
      if (is_accepted) {
        at += count;
        is_given = at == text.size();
      } else waited++;
    }
    const size_t before = answer.size();
    is_over |= take(++clock % every == 0);
    rise();
    clocks++;
    idle = is_accepted || answer.size() > before ? 0 : idle + 1;
    if (top.lost) fail("a result was lost");
    if (idle > idle_clocks_max) fail("the matcher is stuck");
  }
  top.text_valid = 0;
  top.result_ready = 0;
  answer[1] = clocks;
  answer[2] = waited;
  say();
}

int main() {
  top.reset = 1;
  for (int n = 0; n < 4; n++) {
    fall();
    rise();
  }
  top.reset = 0;
  uint8_t head[8];
  std::vector<uint8_t> bytes;
  while (fread(head, 1, sizeof head, stdin) == sizeof head) {
    uint32_t length;
    memcpy(&length, head + 4, 4);
    bytes.resize(length);
    if (fread(bytes.data(), 1, length, stdin) != length) return 1;
    const uint32_t every = head[2] | head[3] << 8;
    if (head[0] == 1) {
      answer = {0, version, BYTES, PATTERNS, LENGTH, DEPTH};
      say();
    } else if (head[0] == 2) load(bytes);
    else if (head[0] == 3) search(bytes, head[1] & 1, head[1] >> 1 & 1, every == 0 ? 1 : every);
    else fail("an unknown operation");
  }
  return 0;
}
