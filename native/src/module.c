// Registers the functions of every family (the list is src/sys/addon.ts). Nothing is kept between calls but
// thread-local text, so the module loads in any number of threads.

#include "arguments.h"

extern const struct method directory_methods[];
extern const struct method file_methods[];
extern const struct method attribute_methods[];
extern const struct method extent_methods[];
extern const struct method btrfs_methods[];
extern const struct method mount_methods[];
extern const struct method guard_methods[];
extern const struct method device_methods[];
extern const struct method digest_methods[];
extern const struct method crc32c_methods[];
extern const struct method ext_methods[];
extern const struct method gather_methods[];
extern const struct method plan_methods[];
extern const struct method place_methods[];
extern const struct method scatter_methods[];
extern const struct method plain_methods[];
extern const struct method order_methods[];

NAPI_MODULE_INIT() {
  const struct method *const families[] = {
      directory_methods, file_methods,   attribute_methods, extent_methods, btrfs_methods,   mount_methods,
      guard_methods,     device_methods, digest_methods,    crc32c_methods, ext_methods,     plan_methods,
      gather_methods,    place_methods,  scatter_methods,   plain_methods,  order_methods,
  };
  for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
    if (!define_methods(env, exports, families[i])) return NULL;
  }
  return exports;
}
