// The world of real.wit with the canonical ABI by hand, as C without a libc.
typedef unsigned char u8;
typedef unsigned int u32;

__attribute__((import_module("test:real/host"), import_name("note"))) void note(const u8 *text, u32 length);

static u8 heap[1 << 20] __attribute__((aligned(16)));
static u32 used;

__attribute__((export_name("cabi_realloc"))) void *cabi_realloc(void *old, u32 old_size, u32 align, u32 size) {
  used = (used + align - 1) & ~(align - 1);
  if (used + size > sizeof heap) __builtin_trap();
  u8 *at = heap + used;
  used += size;
  for (u32 i = 0; i < old_size; i++) at[i] = ((u8 *)old)[i];
  return at;
}

typedef struct {
  const u8 *at;
  u32 length;
} string;

typedef struct {
  u8 is_error;
  union {
    struct {
      u32 words;
      string longest;
      u32 checksum;
    } ok;
    string error;
  } value;
} summary;

static summary answer;

__attribute__((export_name("test:real/api#summarize"))) summary *summarize(const u8 *text, u32 length) {
  u32 words = 0, start = 0;
  string longest = {text, 0};
  u32 checksum = 0x811c9dc5;
  for (u32 i = 0; i <= length; i++) {
    if (i < length) checksum = (checksum ^ text[i]) * 0x01000193;
    if (i < length && text[i] != ' ') continue;
    if (i > start) {
      words++;
      if (i - start > longest.length) longest = (string){text + start, i - start};
    }
    start = i + 1;
  }
  static const u8 none[] = "no words";
  if (words == 0) {
    answer.is_error = 1;
    answer.value.error = (string){none, sizeof none - 1};
    return &answer;
  }
  note(longest.at, longest.length);
  answer.is_error = 0;
  answer.value.ok.words = words;
  answer.value.ok.longest = longest;
  answer.value.ok.checksum = checksum & 0x7fffffff;
  return &answer;
}

__attribute__((export_name("cabi_post_test:real/api#summarize"))) void summarized(summary *unused) {
  (void)unused;
  used = 0;
}

static struct {
  double *at;
  u32 length;
} sorted;

__attribute__((export_name("test:real/api#sort"))) void *sort(double *numbers, u32 length) {
  for (u32 i = 1; i < length; i++)
    for (u32 j = i; j > 0 && numbers[j - 1] > numbers[j]; j--) {
      double moved = numbers[j];
      numbers[j] = numbers[j - 1];
      numbers[j - 1] = moved;
    }
  sorted.at = numbers;
  sorted.length = length;
  return &sorted;
}

__attribute__((export_name("cabi_post_test:real/api#sort"))) void sorted_done(void *unused) {
  (void)unused;
  used = 0;
}
