// The packed records shared with TypeScript: the twins of src/sys/layout.ts, held to the same offsets by the assertions.
// Little-endian only. Records may lie at any alignment: they are copied in and out, never pointed into.

#ifndef TSFSA_LAYOUT_H
#define TSFSA_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#define FIELD(record, field, offset) _Static_assert(offsetof(struct record, field) == (offset), #record "." #field)

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "records are little-endian");

struct stat_record {
  uint32_t error;
  uint32_t mode;
  uint32_t nlink;
  uint32_t uid;
  uint32_t gid;
  uint32_t mtimeNs;
  uint64_t ino;
  uint32_t devMajor;
  uint32_t devMinor;
  uint32_t rdevMajor;
  uint32_t rdevMinor;
  int64_t sizeBytes;
  int64_t blocks;
  int64_t mtime;
  int64_t atime;
  int64_t ctime;
  int64_t btime;
  uint32_t atimeNs;
  uint32_t ctimeNs;
  uint32_t btimeNs;
  uint32_t mask;
  uint64_t attributes;
  uint64_t mountId;
};
_Static_assert(sizeof(struct stat_record) == 128, "stat record");
FIELD(stat_record, error, 0);
FIELD(stat_record, mode, 4);
FIELD(stat_record, nlink, 8);
FIELD(stat_record, uid, 12);
FIELD(stat_record, gid, 16);
FIELD(stat_record, mtimeNs, 20);
FIELD(stat_record, ino, 24);
FIELD(stat_record, devMajor, 32);
FIELD(stat_record, devMinor, 36);
FIELD(stat_record, rdevMajor, 40);
FIELD(stat_record, rdevMinor, 44);
FIELD(stat_record, sizeBytes, 48);
FIELD(stat_record, blocks, 56);
FIELD(stat_record, mtime, 64);
FIELD(stat_record, atime, 72);
FIELD(stat_record, ctime, 80);
FIELD(stat_record, btime, 88);
FIELD(stat_record, atimeNs, 96);
FIELD(stat_record, ctimeNs, 100);
FIELD(stat_record, btimeNs, 104);
FIELD(stat_record, mask, 108);
FIELD(stat_record, attributes, 112);
FIELD(stat_record, mountId, 120);

struct gather_record {
  uint32_t length;
  uint32_t error;
  uint32_t inodeFlags;
  uint32_t projectId;
  uint32_t linkLength;
  uint32_t attributeBytes;
  uint32_t attributeError;
  uint32_t attributeCount;
  uint64_t ino;
  int64_t sizeBytes;
  int64_t mtime;
  uint32_t mtimeNs;
  uint32_t flagsError;
  int64_t firstHole;
  uint32_t unwritten;
  uint32_t shared;
};
_Static_assert(sizeof(struct gather_record) == 80, "gather record");
FIELD(gather_record, length, 0);
FIELD(gather_record, error, 4);
FIELD(gather_record, inodeFlags, 8);
FIELD(gather_record, projectId, 12);
FIELD(gather_record, linkLength, 16);
FIELD(gather_record, attributeBytes, 20);
FIELD(gather_record, attributeError, 24);
FIELD(gather_record, attributeCount, 28);
FIELD(gather_record, ino, 32);
FIELD(gather_record, sizeBytes, 40);
FIELD(gather_record, mtime, 48);
FIELD(gather_record, mtimeNs, 56);
FIELD(gather_record, flagsError, 60);
FIELD(gather_record, firstHole, 64);
FIELD(gather_record, unwritten, 72);
FIELD(gather_record, shared, 76);

// What the plan knows of an entry; its name follows, then the path of a link.
struct entry_record {
  uint32_t directory;
  uint8_t kind;
  uint8_t nameLength;
  uint8_t flags;
  uint8_t zero;
  uint32_t depth;
  uint32_t linkLength;
  double linkEntry;
  uint32_t error;
  uint32_t zeros;
  struct stat_record stat;
};
_Static_assert(sizeof(struct entry_record) == 160, "entry record");
FIELD(entry_record, directory, 0);
FIELD(entry_record, kind, 4);
FIELD(entry_record, nameLength, 5);
FIELD(entry_record, flags, 6);
FIELD(entry_record, depth, 8);
FIELD(entry_record, linkLength, 12);
FIELD(entry_record, linkEntry, 16);
FIELD(entry_record, error, 24);
FIELD(entry_record, stat, 32);

// Flags of an entry record.
enum { ENTRY_LINKED = 1, ENTRY_SUBVOLUME = 2 };

// Of what scatter says of a row.
enum {
  SCATTER_CREATE = 1,
  SCATTER_WRITE = 2,
  SCATTER_OWNER = 3,
  SCATTER_MODE = 4,
  SCATTER_TIMES = 5,
  SCATTER_CLOSE = 6,
  SCATTER_LEFT = 64,
  SCATTER_OTHER_DIGEST = 128,
};

// EntryKind of src/model/entry.ts.
enum {
  KIND_FILE = 0,
  KIND_HARDLINK = 1,
  KIND_SYMLINK = 2,
  KIND_CHAR = 3,
  KIND_BLOCK = 4,
  KIND_DIRECTORY = 5,
  KIND_FIFO = 6,
  KIND_SOCKET = 7,
  KIND_ABSENT = 8,
};

#endif
