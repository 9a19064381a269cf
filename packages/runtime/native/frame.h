// Frames and fields, as PROTOCOL.md has them: a bounded decoder and a buffered encoder.
#ifndef BANYAN_FRAME_H
#define BANYAN_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "wire.h"

struct frame {
  uint8_t type;
  uint32_t length;
  char *payload;
};

// Takes bytes from a descriptor and gives whole frames. A frame's payload lives until the next fill.
struct reader {
  int fd;
  char *data;
  size_t capacity, start, end;
  bool grown;
};

void reader_open(struct reader *reader, int fd, char *storage, size_t capacity);
// 1: a frame, 0: more bytes are needed, -1: errno is EPROTO or ENOMEM.
int reader_next(struct reader *reader, struct frame *frame);
// Bytes read; 0 at the end of the stream, -1 with errno.
ssize_t reader_fill(struct reader *reader, int recv_flags);
// Waits for a whole frame: 1, 0 at a clean end of the stream, -1 with errno (EPROTO when it ends inside a frame).
int reader_wait(struct reader *reader, struct frame *frame);

enum field_kind { KIND_NONE, KIND_NUMBER, KIND_TEXT, KIND_BYTES };

// What a program knows about tags (kinds), and what one message may, must and may repeatedly hold.
struct schema {
  const uint8_t *kinds;
  uint64_t allowed, required, repeated;
};

#define TAG_BIT(tag) (UINT64_C(1) << (tag))

struct field {
  uint8_t tag;
  uint32_t length;
  char *bytes;
};

enum { FIELDS_INLINE = 48 };

struct message {
  uint8_t type;
  uint64_t present;
  uint64_t numbers[TAG_MAX + 1];
  struct field *fields;
  uint32_t count;
  struct field inline_fields[FIELDS_INLINE];
  const char *problem;
};

// 0, or a negative errno with `problem` set. Texts are NUL-terminated in place, so the payload is written to.
int message_decode(struct message *message, const struct frame *frame, const struct schema *schema);
void message_free(struct message *message);
bool message_has(const struct message *message, uint8_t tag);
uint64_t message_number(const struct message *message, uint8_t tag, uint64_t absent);
const char *message_text(const struct message *message, uint8_t tag, const char *absent);
uint32_t message_count(const struct message *message, uint8_t tag);
// A new array that ends in NULL and holds the texts of a repeated tag, with `spare` free places after them; NULL without memory.
char **message_texts(const struct message *message, uint8_t tag, uint32_t spare);

// Collects frames and writes them in one go. A frame that does not fit is flushed before, so one must be at most DATA_MAX.
enum { SINK_BYTES = 2 * (DATA_MAX + FRAME_HEADER_BYTES) };

struct sink {
  int fd;
  size_t start, end, frame;
  bool overflow;
  char data[SINK_BYTES];
};

void sink_open(struct sink *sink, int fd);
void sink_begin(struct sink *sink, uint8_t type);
void sink_number(struct sink *sink, uint8_t tag, uint64_t value);
void sink_bytes(struct sink *sink, uint8_t tag, const void *bytes, size_t length);
void sink_text(struct sink *sink, uint8_t tag, const char *text);
void sink_raw(struct sink *sink, const void *bytes, size_t length);
void sink_commit(struct sink *sink);
bool sink_empty(const struct sink *sink);
// Where the payload of a data frame can be read into directly; NULL while the sink has no room for one.
char *sink_reserve(struct sink *sink);
void sink_commit_reserved(struct sink *sink, uint8_t type, size_t length);
// 0 when all is written, -1 with errno. Blocking unless `send_flags` holds MSG_DONTWAIT.
int sink_flush(struct sink *sink, int send_flags);

int write_all(int fd, const void *bytes, size_t length);
uint64_t now_us(void);

#endif
