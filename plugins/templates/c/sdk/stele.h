// What a plugin in C has besides its bindings: texts, memory, and the few functions of <string.h> that compilers call.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// ── Memory ──────────────────────────────────────────────────────────────────
// Arguments, what imports return and what `stele_alloc` gives last until the result of the current call has been read, and go then by
// themselves. What must live longer is in `stele_keep`.

/// `size` bytes for this call, aligned to 16. Traps where there is no memory.
void *stele_alloc(size_t size);
/// `size` bytes until `stele_release`, aligned to 16. Traps where there is no memory.
void *stele_keep(size_t size);
/// Gives back what `stele_keep` gave; a null pointer is nothing.
void stele_release(void *kept);
/// Frees everything of this call. The bindings call it when the host has read the result.
void stele_end_call(void);
/// How much this call has allocated by now, to go back to with `stele_reset` in a long one.
size_t stele_mark(void);
/// Frees what this call allocated since `mark`.
void stele_reset(size_t mark);

void *memcpy(void *to, const void *from, size_t size);
void *memmove(void *to, const void *from, size_t size);
void *memset(void *at, int byte, size_t size);
int memcmp(const void *a, const void *b, size_t size);
size_t strlen(const char *text);

// ── Texts ───────────────────────────────────────────────────────────────────

/// UTF-8, `len` bytes, with no zero at the end.
typedef struct {
  const char *ptr;
  size_t len;
} stele_string;

/// The text of a literal: STELE_TEXT("hello").
#define STELE_TEXT(literal) ((stele_string){"" literal, sizeof(literal) - 1})

/// The text of a string with a zero at the end.
stele_string stele_text(const char *zero_terminated);
bool stele_equal(stele_string a, stele_string b);
/// Without the white space of ASCII at both ends; nothing is copied.
stele_string stele_trim(stele_string text);
/// `count` texts one after the other, in memory of this call: stele_join(2, a, b).
stele_string stele_join(size_t count, ...);
/// The decimal digits of a number, in memory of this call.
stele_string stele_decimal(int64_t number);
/// A copy of a text that stays until `stele_release((void *)copy.ptr)`.
stele_string stele_keep_text(stele_string text);

// ── Flags of more than one word ─────────────────────────────────────────────

#define stele_has(flags, flag) (((flags).bits[(flag) >> 5] >> ((flag) & 31)) & 1)
#define stele_set(flags, flag) ((flags).bits[(flag) >> 5] |= (uint32_t)1 << ((flag) & 31))
#define stele_unset(flags, flag) ((flags).bits[(flag) >> 5] &= ~((uint32_t)1 << ((flag) & 31)))

// ── Bits of numbers, for the bindings ───────────────────────────────────────

static inline float stele_f32(uint32_t bits) {
  union { uint32_t bits; float value; } both = {bits};
  return both.value;
}
static inline uint32_t stele_f32_bits(float value) {
  union { float value; uint32_t bits; } both = {value};
  return both.bits;
}
static inline double stele_f64(uint64_t bits) {
  union { uint64_t bits; double value; } both = {bits};
  return both.value;
}
static inline uint64_t stele_f64_bits(double value) {
  union { double value; uint64_t bits; } both = {value};
  return both.bits;
}
