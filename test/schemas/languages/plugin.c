// Implements `../assemblyscript/world.wit` for `generate-languages.test.ts`: every type goes in and comes out.
#include "plugin.h"

typedef stele_tuple_api_shape_api_point_api_level_api_perms echoed;
echoed api_echo(api_shape s, api_point p, api_level l, api_perms f) { return (echoed){s, p, l, f}; }

static stele_string text_of(bool is) { return is ? STELE_TEXT("true") : STELE_TEXT("false"); }

stele_list_tuple_string_u32 api_many(uint8_t a, int16_t b, uint64_t c, float d, double e, uint32_t f, bool g, stele_string h, stele_list_string i,
                                     stele_list_double j, stele_option_option_string k, stele_result_u8_string l, stele_result m, stele_tuple_u8_string n) {
  stele_list_tuple_string_u32 out = {stele_alloc((i.len + 2) * sizeof(stele_tuple_string_u32)), i.len + 2};
  out.ptr[0] = (stele_tuple_string_u32){h, (uint32_t)i.len};
  for (size_t at = 0; at < i.len; at++) out.ptr[at + 1] = (stele_tuple_string_u32){i.ptr[at], (uint32_t)at};
  stele_string space = STELE_TEXT(" ");
  bool halves = d == 1.5f && e == 2.5;
  out.ptr[i.len + 1] = (stele_tuple_string_u32){
    stele_join(23, stele_decimal(a), space, stele_decimal(b), space, stele_decimal((int64_t)c), space, halves ? STELE_TEXT("1.5 2.5") : STELE_TEXT("?"), space,
               stele_decimal(f), space, text_of(g), space, stele_decimal((int64_t)j.len), space, text_of(k.is_some), space, text_of(!l.is_err), space,
               text_of(!m.is_err), space, stele_decimal(n.f0), space, n.f1),
    j.len > 0 ? (uint32_t)j.ptr[0] : 0,
  };
  return out;
}

stele_result_option_u32_store_error api_res(stele_result_list_u64_store_error x) {
  stele_result_option_u32_store_error out = {.is_err = x.is_err};
  if (x.is_err) out.err = x.err;
  else out.ok = (stele_option_u32){x.ok.len > 0, x.ok.len > 0 ? (uint32_t)x.ok.ptr[0] : 0};
  return out;
}

stele_option_list_u8 api_lend(store_bucket b, stele_string key) {
  stele_result_option_list_u8_store_error found = store_bucket_get(b, key);
  return found.is_err ? (stele_option_list_u8){0} : found.ok;
}

api_variant_x api_flat(stele_option_float a, api_variant_x b) { return a.is_some ? (api_variant_x){.tag = API_VARIANT_X_A, .a = a.value} : b; }

struct api_counter {
  uint32_t n;
};
static api_counter_own counter_of(uint32_t n) {
  api_counter *made = stele_keep(sizeof(api_counter));
  made->n = n;
  return api_counter_own_new(made);
}
api_counter_own api_counter_create(uint32_t start) { return counter_of(start); }
uint32_t api_counter_increment(api_counter *self, uint32_t by) { return self->n += by; }
api_counter_own api_counter_merge(api_counter_own a, api_counter *b) {
  api_counter_own sum = counter_of(api_counter_own_rep(a)->n + b->n);
  api_counter_own_drop(a);
  return sum;
}
void api_counter_destroy(api_counter *self) { stele_release(self); }

stele_string world_run(void) {
  world_note(STELE_TEXT("running"));
  store_bucket b = store_bucket_create(STELE_TEXT("x"));
  uint8_t bytes[] = {1, 2, 3};
  store_bucket_set(b, STELE_TEXT("k"), (stele_list_u8){bytes, 3});
  store_bucket c = store_bucket_open(STELE_TEXT("y")).ok;
  stele_string names[] = {STELE_TEXT("p"), STELE_TEXT("q")};
  uint32_t n = store_merge(b, c, (stele_list_string){names, 2});
  store_bucket_drop(c);
  return stele_join(2, STELE_TEXT("ran "), stele_decimal(n));
}
