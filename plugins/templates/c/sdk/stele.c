// Memory and texts of `stele.h`. There is no C library: this is all that a plugin carries.
#include "stele.h"
#include <stdarg.h>

// ── <string.h>: with bulk memory, clang makes single instructions of the builtins ───────────────────────────────

void *memcpy(void *to, const void *from, size_t size) { return __builtin_memcpy(to, from, size); }
void *memmove(void *to, const void *from, size_t size) { return __builtin_memmove(to, from, size); }
void *memset(void *at, int byte, size_t size) { return __builtin_memset(at, byte, size); }

int memcmp(const void *a, const void *b, size_t size) {
  const unsigned char *x = a, *y = b;
  for (size_t i = 0; i < size; i++)
    if (x[i] != y[i]) return x[i] < y[i] ? -1 : 1;
  return 0;
}

size_t strlen(const char *text) {
  size_t len = 0;
  while (text[len] != 0) len++;
  return len;
}

// ── Memory that stays: blocks of powers of two, those of each size in a list when they are free ─────────────────

#define PAGE_BYTES 65536
#define ALIGNMENT 16
#define CLASSES 32

// Before each block; 16 bytes, so that blocks are aligned.
typedef struct header {
  uint32_t class;
  struct header *next;
  uint32_t unused[2];
} header;

// Where the linker's own data ends.
extern unsigned char __heap_base;
static size_t top;
static header *freed[CLASSES];

// Memory that nobody had yet. Its zeros are not promised.
static void *fresh(size_t size) {
  if (top == 0) top = ((size_t)&__heap_base + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
  size_t end = top + size;
  if (end < top) __builtin_trap();
  size_t have = __builtin_wasm_memory_size(0) * (size_t)PAGE_BYTES;
  if (end > have && __builtin_wasm_memory_grow(0, (end - have + PAGE_BYTES - 1) / PAGE_BYTES) == (size_t)-1) __builtin_trap();
  void *at = (void *)top;
  top = end;
  return at;
}

void *stele_keep(size_t size) {
  if (size > ((size_t)1 << 30)) __builtin_trap();
  uint32_t class = 5;
  while (((size_t)1 << class) < size + sizeof(header)) class++;
  header *block = freed[class];
  if (block != NULL) freed[class] = block->next;
  else block = fresh((size_t)1 << class);
  block->class = class;
  return block + 1;
}

void stele_release(void *kept) {
  if (kept == NULL) return;
  header *block = (header *)kept - 1;
  block->next = freed[block->class];
  freed[block->class] = block;
}

// ── Memory of a call: chunks that are filled one after the other and emptied together ──────────────────────────

#define CHUNK_BYTES 16000

typedef struct chunk {
  struct chunk *before;
  size_t size;
  // Of the whole call: allocated before this chunk, and in it.
  size_t base;
  size_t used;
} chunk;

static chunk *last;

void *stele_alloc(size_t size) {
  if (size > ((size_t)1 << 30)) __builtin_trap();
  size = (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
  if (last == NULL || last->size - last->used < size) {
    size_t room = size > CHUNK_BYTES ? size : CHUNK_BYTES;
    chunk *made = stele_keep(sizeof(chunk) + room);
    *made = (chunk){last, room, last == NULL ? 0 : last->base + last->used, 0};
    last = made;
  }
  void *at = (char *)(last + 1) + last->used;
  last->used += size;
  return at;
}

size_t stele_mark(void) { return last == NULL ? 0 : last->base + last->used; }

void stele_reset(size_t mark) {
  while (last != NULL && last->base >= mark && last->before != NULL) {
    chunk *before = last->before;
    stele_release(last);
    last = before;
  }
  // The first chunk stays: the next call begins with it.
  if (last != NULL && mark - last->base < last->used) last->used = mark - last->base;
}

void stele_end_call(void) { stele_reset(0); }

// By this the host allocates arguments, and results of imports.
__attribute__((export_name("cabi_realloc"))) void *stele_realloc(void *old, size_t old_size, size_t align, size_t new_size) {
  if (new_size == 0) return (void *)align;
  if (old_size >= new_size) return old;
  void *made = stele_alloc(new_size);
  if (old_size > 0) memcpy(made, old, old_size);
  return made;
}

// ── Texts ───────────────────────────────────────────────────────────────────

stele_string stele_text(const char *zero_terminated) { return (stele_string){zero_terminated, strlen(zero_terminated)}; }

bool stele_equal(stele_string a, stele_string b) { return a.len == b.len && memcmp(a.ptr, b.ptr, a.len) == 0; }

static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

stele_string stele_trim(stele_string text) {
  while (text.len > 0 && is_space(text.ptr[0])) text.ptr++, text.len--;
  while (text.len > 0 && is_space(text.ptr[text.len - 1])) text.len--;
  return text;
}

stele_string stele_join(size_t count, ...) {
  va_list parts;
  size_t len = 0;
  va_start(parts, count);
  for (size_t i = 0; i < count; i++) len += va_arg(parts, stele_string).len;
  va_end(parts);
  char *text = stele_alloc(len);
  size_t at = 0;
  va_start(parts, count);
  for (size_t i = 0; i < count; i++) {
    stele_string part = va_arg(parts, stele_string);
    memcpy(text + at, part.ptr, part.len);
    at += part.len;
  }
  va_end(parts);
  return (stele_string){text, len};
}

stele_string stele_decimal(int64_t number) {
  char *text = stele_alloc(20);
  size_t at = 20;
  uint64_t rest = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
  do text[--at] = (char)('0' + rest % 10);
  while ((rest /= 10) > 0);
  if (number < 0) text[--at] = '-';
  return (stele_string){text + at, 20 - at};
}

stele_string stele_keep_text(stele_string text) {
  char *copy = stele_keep(text.len);
  memcpy(copy, text.ptr, text.len);
  return (stele_string){copy, text.len};
}
