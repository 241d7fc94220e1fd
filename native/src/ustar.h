// Headers of plain members: the bytes that src/format/member.ts writes for entries without attributes, holes and numbers
// that want an extended header.

#ifndef TSFSA_USTAR_H
#define TSFSA_USTAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "row.h"

enum { TAR_BLOCK = 512, TAR_NAME = 100, TAR_PREFIX = 155, TAR_TIME_RECORD = 64 };

// The name of an extended header, the number of its entry behind it: where its digits begin, and how many there can be.
#define TAR_EXTENDED "PaxHeaders/"
enum { TAR_DIGITS_AT = sizeof TAR_EXTENDED - 1, TAR_DIGITS = 16 };

// The longest path that a header holds.
enum { TAR_PATH = TAR_PREFIX + 1 + TAR_NAME };

// The header of a row's member with this path; false: it is not that of a plain entry.
bool ustar_header(uint8_t header[TAR_BLOCK], const struct row *row, const uint8_t *path, size_t path_length);

// The record of an extended header that carries a time with nanoseconds; returns its length.
size_t ustar_time_record(const struct row *row, char out[TAR_TIME_RECORD]);

// The extended header of the entry whose number has these digits, at most TAR_DIGITS, before a record of this length.
void ustar_extended(uint8_t header[TAR_BLOCK], const uint8_t *digits, size_t count, size_t record_length);

#endif
