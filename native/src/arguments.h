// Arguments from JavaScript, checked, and results back to it. Every argument_* returns false with an exception pending
// (TypeError for a wrong type, RangeError for a value out of range); the caller then returns NULL at once.
// Pointers into typed arrays are valid until the call returns.

#ifndef TSFSA_ARGUMENTS_H
#define TSFSA_ARGUMENTS_H

#include <limits.h>
#include <node_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bytes {
  uint8_t *data;
  size_t length;
};

// A path or name with its NUL; at most 4095 bytes without.
struct path {
  size_t length;
  char text[PATH_MAX];
};

// An xattr name with its NUL; at most 255 bytes without (XATTR_NAME_MAX).
struct attribute_name {
  char text[256];
};

// Exactly `count` arguments; fewer is a TypeError.
bool arguments(napi_env env, napi_callback_info info, size_t count, napi_value *values);

bool argument_i32(napi_env env, napi_value value, int32_t *out);
bool argument_u32(napi_env env, napi_value value, uint32_t *out);
// A whole number of magnitude up to 2^53 (a file offset, a size, seconds).
bool argument_i64(napi_env env, napi_value value, int64_t *out);
bool argument_bool(napi_env env, napi_value value, bool *out);
bool argument_bytes(napi_env env, napi_value value, struct bytes *out);
bool argument_i32s(napi_env env, napi_value value, int32_t **out, size_t *length);
bool argument_u32s(napi_env env, napi_value value, uint32_t **out, size_t *length);
bool argument_f64s(napi_env env, napi_value value, double **out, size_t *length);
bool argument_path(napi_env env, napi_value value, struct path *out);
bool argument_attribute(napi_env env, napi_value value, struct attribute_name *out);
// A string as UTF-8 with its NUL into `out` of `capacity` bytes.
bool argument_string(napi_env env, napi_value value, char *out, size_t capacity);
// An offset and a length that must lie in `length_limit` bytes.
bool argument_range(napi_env env, napi_value offset, napi_value length, size_t limit, size_t *out_offset,
                    size_t *out_length);

// True when offset and length (numbers that JavaScript packed) are whole, ≥ 0 and lie in `limit` bytes.
bool range_within(double offset, double length, size_t limit);

// RangeError with this message; returns false, so that checks can return it.
bool range_error(napi_env env, const char *message);

napi_value number(napi_env env, double value);
// result ≥ 0 as it is, else −errno.
napi_value result_or_errno(napi_env env, int64_t result);
napi_value negative_errno(napi_env env, int error);
napi_value boolean(napi_env env, bool value);
napi_value undefined(napi_env env);
// A new Uint8Array with a copy of the bytes.
napi_value new_bytes(napi_env env, const void *data, size_t length);

struct method {
  const char *name;
  napi_callback call;
};

// Defines every method (up to one with name NULL) on `exports`; false with an exception pending.
bool define_methods(napi_env env, napi_value exports, const struct method *methods);

#endif
