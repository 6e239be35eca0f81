#include "plugin.h"

static const struct {
  stele_string language, welcome;
} welcomes[] = {
  {STELE_TEXT("en"), STELE_TEXT("Welcome")},
  {STELE_TEXT("de"), STELE_TEXT("Willkommen")},
  {STELE_TEXT("fr"), STELE_TEXT("Bienvenue")},
};

// The index of the first language that we speak; English where there is none.
static size_t choose(stele_list_string languages) {
  for (size_t i = 0; i < languages.len; i++)
    for (size_t known = 0; known < sizeof welcomes / sizeof welcomes[0]; known++)
      if (stele_equal(languages.ptr[i], welcomes[known].language)) return known;
  return 0;
}

stele_result_api_welcome_string api_greet(api_visitor visitor) {
  if (stele_trim(visitor.name).len == 0)
    return (stele_result_api_welcome_string){.is_err = true, .err = STELE_TEXT("Cannot welcome a visitor without a name")};
  size_t chosen = choose(visitor.languages);
  stele_string language = welcomes[chosen].language;
  logging_log(LOGGING_LEVEL_INFO, STELE_TEXT("greet"), stele_join(2, STELE_TEXT("Welcomed a visitor in "), language));
  return (stele_result_api_welcome_string){
    .ok = {stele_join(4, welcomes[chosen].welcome, STELE_TEXT(", "), visitor.name, STELE_TEXT("!")), language},
  };
}
