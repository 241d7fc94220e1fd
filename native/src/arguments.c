// See arguments.h.

#include "arguments.h"

#include <errno.h>
#include <string.h>

static const double exact_limit = 9007199254740992.0;  // 2^53

static bool type_error(napi_env env, const char *message) {
  napi_throw_type_error(env, NULL, message);
  return false;
}

bool range_error(napi_env env, const char *message) {
  napi_throw_range_error(env, NULL, message);
  return false;
}

bool arguments(napi_env env, napi_callback_info info, size_t count, napi_value *values) {
  size_t given = count;
  if (napi_get_cb_info(env, info, &given, values, NULL, NULL) != napi_ok || given < count) {
    return type_error(env, "too few arguments");
  }
  return true;
}

static bool whole_number(napi_env env, napi_value value, double low, double high, double *out) {
  if (napi_get_value_double(env, value, out) != napi_ok) return type_error(env, "expected a number");
  // The comparison also refuses NaN.
  if (!(*out >= low && *out <= high)) return range_error(env, "number out of range");
  if ((double)(int64_t)*out != *out) return range_error(env, "expected a whole number");
  return true;
}

bool argument_i32(napi_env env, napi_value value, int32_t *out) {
  double number_value;
  if (!whole_number(env, value, INT32_MIN, INT32_MAX, &number_value)) return false;
  *out = (int32_t)number_value;
  return true;
}

bool argument_u32(napi_env env, napi_value value, uint32_t *out) {
  double number_value;
  if (!whole_number(env, value, 0, UINT32_MAX, &number_value)) return false;
  *out = (uint32_t)number_value;
  return true;
}

bool argument_i64(napi_env env, napi_value value, int64_t *out) {
  double number_value;
  if (!whole_number(env, value, -exact_limit, exact_limit, &number_value)) return false;
  *out = (int64_t)number_value;
  return true;
}

bool argument_bool(napi_env env, napi_value value, bool *out) {
  if (napi_get_value_bool(env, value, out) != napi_ok) return type_error(env, "expected a boolean");
  return true;
}

static bool typed_array(napi_env env, napi_value value, napi_typedarray_type type, const char *message, void **out,
                        size_t *length) {
  napi_typedarray_type found;
  bool is_typed_array;
  if (napi_is_typedarray(env, value, &is_typed_array) != napi_ok || !is_typed_array ||
      napi_get_typedarray_info(env, value, &found, length, out, NULL, NULL) != napi_ok || found != type) {
    return type_error(env, message);
  }
  return true;
}

bool argument_bytes(napi_env env, napi_value value, struct bytes *out) {
  void *data;
  if (!typed_array(env, value, napi_uint8_array, "expected a Uint8Array", &data, &out->length)) return false;
  out->data = data;
  return true;
}

bool argument_i32s(napi_env env, napi_value value, int32_t **out, size_t *length) {
  void *data;
  if (!typed_array(env, value, napi_int32_array, "expected an Int32Array", &data, length)) return false;
  *out = data;
  return true;
}

bool argument_u32s(napi_env env, napi_value value, uint32_t **out, size_t *length) {
  void *data;
  if (!typed_array(env, value, napi_uint32_array, "expected a Uint32Array", &data, length)) return false;
  *out = data;
  return true;
}

bool argument_f64s(napi_env env, napi_value value, double **out, size_t *length) {
  void *data;
  if (!typed_array(env, value, napi_float64_array, "expected a Float64Array", &data, length)) return false;
  *out = data;
  return true;
}

static bool terminated(napi_env env, napi_value value, char *out, size_t capacity, size_t *length) {
  struct bytes name;
  if (!argument_bytes(env, value, &name)) return false;
  if (name.length >= capacity) return range_error(env, "name too long");
  if (name.length > 0) {
    if (memchr(name.data, 0, name.length) != NULL) return type_error(env, "name holds a NUL byte");
    memcpy(out, name.data, name.length);
  }
  out[name.length] = 0;
  *length = name.length;
  return true;
}

bool argument_path(napi_env env, napi_value value, struct path *out) {
  return terminated(env, value, out->text, sizeof out->text, &out->length);
}

bool argument_attribute(napi_env env, napi_value value, struct attribute_name *out) {
  size_t length;
  return terminated(env, value, out->text, sizeof out->text, &length);
}

bool argument_string(napi_env env, napi_value value, char *out, size_t capacity) {
  size_t length;
  if (napi_get_value_string_utf8(env, value, NULL, 0, &length) != napi_ok) return type_error(env, "expected a string");
  if (length >= capacity) return range_error(env, "string too long");
  if (napi_get_value_string_utf8(env, value, out, capacity, &length) != napi_ok) return false;
  if (memchr(out, 0, length) != NULL) return type_error(env, "string holds a NUL byte");
  return true;
}

bool range_within(double offset, double length, size_t limit) {
  if (!(offset >= 0 && length >= 0 && offset <= exact_limit && length <= exact_limit)) return false;
  if ((double)(uint64_t)offset != offset || (double)(uint64_t)length != length) return false;
  return (uint64_t)offset <= limit && (uint64_t)length <= limit - (uint64_t)offset;
}

bool argument_range(napi_env env, napi_value offset, napi_value length, size_t limit, size_t *out_offset,
                    size_t *out_length) {
  double offset_value, length_value;
  if (napi_get_value_double(env, offset, &offset_value) != napi_ok ||
      napi_get_value_double(env, length, &length_value) != napi_ok) {
    return type_error(env, "expected a number");
  }
  if (!range_within(offset_value, length_value, limit)) return range_error(env, "range outside of the array");
  *out_offset = (size_t)offset_value;
  *out_length = (size_t)length_value;
  return true;
}

napi_value number(napi_env env, double value) {
  napi_value result;
  return napi_create_double(env, value, &result) == napi_ok ? result : NULL;
}

napi_value negative_errno(napi_env env, int error) { return number(env, (double)-error); }

napi_value result_or_errno(napi_env env, int64_t result) { return number(env, result < 0 ? -errno : (double)result); }

napi_value boolean(napi_env env, bool value) {
  napi_value result;
  return napi_get_boolean(env, value, &result) == napi_ok ? result : NULL;
}

napi_value undefined(napi_env env) {
  napi_value result;
  return napi_get_undefined(env, &result) == napi_ok ? result : NULL;
}

napi_value new_bytes(napi_env env, const void *data, size_t length) {
  void *memory;
  napi_value buffer, result;
  if (napi_create_arraybuffer(env, length, &memory, &buffer) != napi_ok ||
      napi_create_typedarray(env, napi_uint8_array, length, buffer, 0, &result) != napi_ok) {
    return NULL;
  }
  if (length > 0) memcpy(memory, data, length);
  return result;
}

bool define_methods(napi_env env, napi_value exports, const struct method *methods) {
  for (; methods->name != NULL; methods++) {
    napi_value function;
    if (napi_create_function(env, methods->name, NAPI_AUTO_LENGTH, methods->call, NULL, &function) != napi_ok ||
        napi_set_named_property(env, exports, methods->name, function) != napi_ok) {
      return false;
    }
  }
  return true;
}
