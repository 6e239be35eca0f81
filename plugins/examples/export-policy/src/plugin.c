#include "plugin.h"

// What is known of a condition.
typedef enum { NO, UNKNOWN, YES } truth;

// The whole number that a text is; false where it is none, or none of 64 bits.
static bool number(stele_string text, int64_t *value) {
  bool negative = text.len > 0 && text.ptr[0] == '-';
  if (text.len == (size_t)negative) return false;
  int64_t sum = 0;
  for (size_t i = negative; i < text.len; i++) {
    int digit = text.ptr[i] - '0';
    if (digit < 0 || digit > 9 || sum < (INT64_MIN + digit) / 10) return false;
    // Taken away, since there is one more number below zero than above.
    sum = sum * 10 - digit;
  }
  if (!negative && sum == INT64_MIN) return false;
  *value = negative ? sum : -sum;
  return true;
}

// One value of the attribute beside the condition's.
static truth compare(const api_condition *condition, stele_string value) {
  int64_t has, bound;
  switch (condition->comparison) {
    case API_COMPARISON_EQUALS:
    case API_COMPARISON_DIFFERS:
      return stele_equal(value, condition->value) ? YES : NO;
    default:
      if (!number(value, &has) || !number(condition->value, &bound)) return UNKNOWN;
      return (condition->comparison == API_COMPARISON_AT_LEAST ? has >= bound : has <= bound) ? YES : NO;
  }
}

static truth holds(const api_condition *condition, stele_list_api_attribute attributes) {
  bool given = false, unknown = false, some = false;
  for (size_t i = 0; i < attributes.len; i++) {
    if (!stele_equal(attributes.ptr[i].name, condition->attribute)) continue;
    given = true;
    truth found = compare(condition, attributes.ptr[i].value);
    if (found == YES) some = true;
    if (found == UNKNOWN) unknown = true;
  }
  if (!given) return UNKNOWN;
  if (condition->comparison == API_COMPARISON_DIFFERS) return some ? NO : YES;
  return some ? YES : unknown ? UNKNOWN : NO;
}

// What is not known is not allowed: it keeps a rule from permitting, and no rule from denying.
static bool applies(const api_rule *rule, stele_string action, stele_list_api_attribute attributes) {
  if (!stele_equal(rule->action, STELE_TEXT("*")) && !stele_equal(rule->action, action)) return false;
  for (size_t i = 0; i < rule->conditions.len; i++) {
    truth found = holds(&rule->conditions.ptr[i], attributes);
    if (found == NO || (found == UNKNOWN && rule->effect == API_EFFECT_PERMIT)) return false;
  }
  return true;
}

api_decision api_decide(stele_list_api_rule rules, stele_string action, stele_list_api_attribute attributes) {
  bool *applied = stele_alloc(rules.len);
  bool any = false;
  api_effect strongest = API_EFFECT_PERMIT;
  for (size_t i = 0; i < rules.len; i++) {
    applied[i] = applies(&rules.ptr[i], action, attributes);
    if (!applied[i]) continue;
    any = true;
    if (rules.ptr[i].effect > strongest) strongest = rules.ptr[i].effect;
  }
  if (!any) return (api_decision){.effect = API_EFFECT_DENY};
  stele_list_api_reason reasons = {stele_alloc(rules.len * sizeof(api_reason)), 0};
  for (size_t i = 0; i < rules.len; i++)
    if (applied[i] && rules.ptr[i].effect == strongest) reasons.ptr[reasons.len++] = (api_reason){rules.ptr[i].id, rules.ptr[i].text};
  return (api_decision){strongest, reasons};
}
