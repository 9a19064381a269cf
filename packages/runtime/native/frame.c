#include "frame.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { FIELD_HEADER_BYTES = 5 };

static uint32_t load32(const char *at) {
  uint32_t value;
  memcpy(&value, at, sizeof value);
  return le32toh(value);
}

static uint64_t load64(const char *at) {
  uint64_t value;
  memcpy(&value, at, sizeof value);
  return le64toh(value);
}

static void store32(char *at, uint32_t value) {
  value = htole32(value);
  memcpy(at, &value, sizeof value);
}

uint64_t now_us(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

void reader_open(struct reader *reader, int fd, char *storage, size_t capacity) {
  *reader = (struct reader){.fd = fd, .data = storage, .capacity = capacity};
}

static uint32_t frame_limit(uint8_t type) {
  bool raw = type == TYPE_STDOUT || type == TYPE_STDERR || type == TYPE_DATA || type == TYPE_STDIN;
  return raw ? DATA_MAX : FRAME_MAX;
}

// Makes place for `needed` bytes from `start` on, moving what is there to the front and growing at most once.
static int reader_make_room(struct reader *reader, size_t needed) {
  if (reader->start + needed <= reader->capacity) return 0;
  size_t have = reader->end - reader->start;
  if (needed <= reader->capacity) {
    memmove(reader->data, reader->data + reader->start, have);
  } else {
    size_t capacity = FRAME_HEADER_BYTES + (size_t)FRAME_MAX;
    char *data = malloc(capacity);
    if (!data) return -1;
    memcpy(data, reader->data + reader->start, have);
    if (reader->grown) free(reader->data);
    reader->data = data;
    reader->capacity = capacity;
    reader->grown = true;
  }
  reader->start = 0;
  reader->end = have;
  return 0;
}

int reader_next(struct reader *reader, struct frame *frame) {
  size_t have = reader->end - reader->start;
  if (have < FRAME_HEADER_BYTES) return reader_make_room(reader, FRAME_HEADER_BYTES);
  const char *header = reader->data + reader->start;
  uint32_t length = load32(header);
  uint8_t type = (uint8_t)header[4];
  if (length > frame_limit(type)) {
    errno = EPROTO;
    return -1;
  }
  size_t whole = FRAME_HEADER_BYTES + (size_t)length;
  if (have < whole) return reader_make_room(reader, whole);
  *frame = (struct frame){.type = type, .length = length, .payload = reader->data + reader->start + FRAME_HEADER_BYTES};
  reader->start += whole;
  return 1;
}

ssize_t reader_fill(struct reader *reader, int recv_flags) {
  if (reader->start == reader->end) reader->start = reader->end = 0;
  if (reader->end == reader->capacity && reader_make_room(reader, reader->capacity) < 0) return -1;
  char *at = reader->data + reader->end;
  size_t room = reader->capacity - reader->end;
  for (;;) {
    ssize_t got = recv_flags ? recv(reader->fd, at, room, recv_flags) : read(reader->fd, at, room);
    if (got < 0 && errno == EINTR) continue;
    if (got > 0) reader->end += (size_t)got;
    return got;
  }
}

int reader_wait(struct reader *reader, struct frame *frame) {
  for (;;) {
    int found = reader_next(reader, frame);
    if (found != 0) return found;
    ssize_t got = reader_fill(reader, 0);
    if (got < 0) return -1;
    if (got > 0) continue;
    if (reader->start == reader->end) return 0;
    errno = EPROTO;
    return -1;
  }
}

static int refuse(struct message *message, int error, const char *problem) {
  message->problem = problem;
  return -error;
}

static int decode_field(struct message *message, struct field *field, const struct schema *schema) {
  uint8_t kind = field->tag <= TAG_MAX ? schema->kinds[field->tag] : KIND_NONE;
  if (kind == KIND_NONE || !(schema->allowed & TAG_BIT(field->tag))) return refuse(message, EPROTO, "unknown field");
  uint64_t bit = TAG_BIT(field->tag);
  if ((message->present & bit) && !(schema->repeated & bit)) return refuse(message, EPROTO, "repeated field");
  message->present |= bit;
  if (kind == KIND_NUMBER) {
    if (field->length != 8) return refuse(message, EPROTO, "a number has 8 bytes");
    message->numbers[field->tag] = load64(field->bytes);
  }
  if (kind == KIND_TEXT) {
    if (memchr(field->bytes, 0, field->length)) return refuse(message, EPROTO, "NUL in a text");
    // The header is read, so the text moves one byte into it and leaves a place for its NUL.
    memmove(field->bytes - 1, field->bytes, field->length);
    field->bytes -= 1;
    field->bytes[field->length] = 0;
  }
  return 0;
}

int message_decode(struct message *message, const struct frame *frame, const struct schema *schema) {
  message->type = frame->type;
  message->present = 0;
  message->fields = message->inline_fields;
  message->count = 0;
  message->problem = "";
  uint32_t count = 0;
  for (size_t at = 0; at < frame->length; count++) {
    if (count == FIELDS_MAX) return refuse(message, E2BIG, "too many fields");
    if (frame->length - at < FIELD_HEADER_BYTES) return refuse(message, EPROTO, "cut field");
    uint32_t length = load32(frame->payload + at + 1);
    at += FIELD_HEADER_BYTES;
    if (length > frame->length - at) return refuse(message, EPROTO, "field longer than its frame");
    at += length;
  }
  if (count > FIELDS_INLINE) {
    message->fields = malloc(count * sizeof *message->fields);
    if (!message->fields) {
      message->fields = message->inline_fields;
      return refuse(message, ENOMEM, "no memory");
    }
  }
  char *at = frame->payload;
  for (uint32_t i = 0; i < count; i++) {
    struct field *field = &message->fields[i];
    *field = (struct field){.tag = (uint8_t)at[0], .length = load32(at + 1), .bytes = at + FIELD_HEADER_BYTES};
    at += FIELD_HEADER_BYTES + (size_t)field->length;
    int error = decode_field(message, field, schema);
    if (error) return error;
    message->count = i + 1;
  }
  if ((message->present & schema->required) != schema->required) return refuse(message, EPROTO, "missing field");
  return 0;
}

void message_free(struct message *message) {
  if (message->fields != message->inline_fields) free(message->fields);
  message->fields = message->inline_fields;
  message->count = 0;
}

bool message_has(const struct message *message, uint8_t tag) { return message->present & TAG_BIT(tag); }

uint64_t message_number(const struct message *message, uint8_t tag, uint64_t absent) {
  return message_has(message, tag) ? message->numbers[tag] : absent;
}

const char *message_text(const struct message *message, uint8_t tag, const char *absent) {
  if (!message_has(message, tag)) return absent;
  for (uint32_t i = 0; i < message->count; i++) {
    if (message->fields[i].tag == tag) return message->fields[i].bytes;
  }
  return absent;
}

uint32_t message_count(const struct message *message, uint8_t tag) {
  uint32_t count = 0;
  for (uint32_t i = 0; i < message->count; i++) count += message->fields[i].tag == tag;
  return count;
}

char **message_texts(const struct message *message, uint8_t tag, uint32_t spare) {
  char **texts = malloc((message_count(message, tag) + (size_t)spare + 1) * sizeof *texts);
  if (!texts) return NULL;
  uint32_t count = 0;
  for (uint32_t i = 0; i < message->count; i++) {
    if (message->fields[i].tag == tag) texts[count++] = message->fields[i].bytes;
  }
  texts[count] = NULL;
  return texts;
}

void sink_open(struct sink *sink, int fd) {
  sink->fd = fd;
  sink->start = sink->end = 0;
  sink->overflow = false;
}

bool sink_empty(const struct sink *sink) { return sink->start == sink->end; }

void sink_begin(struct sink *sink, uint8_t type) {
  if (sink_empty(sink)) sink->start = sink->end = 0;
  sink->frame = sink->end;
  sink->overflow = false;
  char header[FRAME_HEADER_BYTES] = {[4] = (char)type};
  sink_raw(sink, header, sizeof header);
}

void sink_raw(struct sink *sink, const void *bytes, size_t length) {
  if (sink->overflow || length > SINK_BYTES - sink->end) {
    sink->overflow = true;
    return;
  }
  if (length) memcpy(sink->data + sink->end, bytes, length);
  sink->end += length;
}

void sink_bytes(struct sink *sink, uint8_t tag, const void *bytes, size_t length) {
  char header[FIELD_HEADER_BYTES] = {(char)tag};
  store32(header + 1, (uint32_t)length);
  sink_raw(sink, header, sizeof header);
  sink_raw(sink, bytes, length);
}

void sink_number(struct sink *sink, uint8_t tag, uint64_t value) {
  value = htole64(value);
  sink_bytes(sink, tag, &value, sizeof value);
}

void sink_text(struct sink *sink, uint8_t tag, const char *text) { sink_bytes(sink, tag, text, strlen(text)); }

// A frame that does not fit is taken back whole: the stream never holds half of one.
void sink_commit(struct sink *sink) {
  if (sink->overflow) {
    sink->end = sink->frame;
    return;
  }
  store32(sink->data + sink->frame, (uint32_t)(sink->end - sink->frame - FRAME_HEADER_BYTES));
}

char *sink_reserve(struct sink *sink) {
  if (sink_empty(sink)) sink->start = sink->end = 0;
  if (SINK_BYTES - sink->end < FRAME_HEADER_BYTES + DATA_MAX) return NULL;
  return sink->data + sink->end + FRAME_HEADER_BYTES;
}

void sink_commit_reserved(struct sink *sink, uint8_t type, size_t length) {
  store32(sink->data + sink->end, (uint32_t)length);
  sink->data[sink->end + 4] = (char)type;
  sink->end += FRAME_HEADER_BYTES + length;
}

int sink_flush(struct sink *sink, int send_flags) {
  while (!sink_empty(sink)) {
    ssize_t sent = send(sink->fd, sink->data + sink->start, sink->end - sink->start, send_flags | MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return -1;
    sink->start += (size_t)sent;
  }
  sink->start = sink->end = 0;
  return 0;
}

int write_all(int fd, const void *bytes, size_t length) {
  const char *at = bytes;
  while (length) {
    ssize_t put = write(fd, at, length);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return -1;
    at += put;
    length -= (size_t)put;
  }
  return 0;
}
