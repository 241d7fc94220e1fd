{
  "targets": [
    {
      "target_name": "tsfsa",
      "sources": [
        "src/module.c",
        "src/arguments.c",
        "src/directory.c",
        "src/file.c",
        "src/attribute.c",
        "src/extent.c",
        "src/btrfs.c",
        "src/mount.c",
        "src/guard.c",
        "src/device.c",
        "src/digest.c",
        "src/digest-avx2.c",
        "src/crc32c.c",
        "src/ext.c",
        "src/gather.c",
        "src/scatter.c",
        "src/write.c",
        "src/space.c",
        "src/row.c",
        "src/ustar.c",
        "src/plan.c",
        "src/place.c",
        "src/plain.c",
        "src/order.c"
      ],
      "defines": ["NAPI_VERSION=8", "_GNU_SOURCE", "_FILE_OFFSET_BITS=64"],
      "cflags": ["-std=c11", "-Wall", "-Wextra", "-Werror", "-fvisibility=hidden", "-fstack-protector-strong"],
      "cflags!": ["-O2", "-Os"],
      "configurations": { "Release": { "cflags": ["-O3"] } }
    }
  ]
}
