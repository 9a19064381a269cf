// The decoder against frames that are right, wrong in known ways, and random. Built with ASan and UBSan, run by `make check`.
#include "../frame.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { STORAGE = FRAME_HEADER_BYTES + DATA_MAX, FUZZ_INPUT_MAX = 4096, ROUNDS_PER_CLOCK = 256 };

#define CHECK(condition)                                                        \
  do {                                                                          \
    if (!(condition)) {                                                         \
      fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);           \
      abort();                                                                  \
    }                                                                           \
  } while (0)

static const uint8_t kinds[TAG_MAX + 1] = {
    [TAG_ARGV] = KIND_TEXT, [TAG_FLAGS] = KIND_NUMBER, [TAG_PATH] = KIND_TEXT, [TAG_DATA] = KIND_BYTES, [TAG_SIZE] = KIND_NUMBER};
static const struct schema schema = {
    .kinds = kinds,
    .allowed = TAG_BIT(TAG_ARGV) | TAG_BIT(TAG_FLAGS) | TAG_BIT(TAG_PATH) | TAG_BIT(TAG_DATA),
    .repeated = TAG_BIT(TAG_ARGV),
    .required = TAG_BIT(TAG_PATH),
};

static uint64_t random_state;

static uint32_t random_below(uint32_t bound) {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return (uint32_t)(random_state >> 16) % bound;
}

// A copy of exactly its size, so that ASan sees the first byte read or written past it.
static int decode_copy(struct message *message, const char *payload, uint32_t length, char **copy) {
  *copy = malloc(length ? length : 1);
  if (length) memcpy(*copy, payload, length);
  return message_decode(message, &(struct frame){.type = TYPE_STAT, .length = length, .payload = *copy}, &schema);
}

static uint32_t put_field(char *at, uint8_t tag, const void *bytes, uint32_t length) {
  at[0] = (char)tag;
  memcpy(at + 1, &length, 4);
  if (length) memcpy(at + 5, bytes, length);
  return 5 + length;
}

static void test_fields(void) {
  char payload[256], *copy;
  struct message message;
  uint64_t flags = 0x1122334455667788;
  uint32_t end = put_field(payload, TAG_ARGV, "one", 3);
  end += put_field(payload + end, TAG_PATH, "/path", 5);
  end += put_field(payload + end, TAG_ARGV, "", 0);
  end += put_field(payload + end, TAG_FLAGS, &flags, 8);
  end += put_field(payload + end, TAG_DATA, "a\0b", 3);
  CHECK(decode_copy(&message, payload, end, &copy) == 0);
  CHECK(strcmp(message_text(&message, TAG_PATH, ""), "/path") == 0);
  CHECK(message_number(&message, TAG_FLAGS, 0) == flags && message_number(&message, TAG_SIZE, 7) == 7);
  CHECK(message_count(&message, TAG_ARGV) == 2);
  char **argv = message_texts(&message, TAG_ARGV, 1);
  CHECK(strcmp(argv[0], "one") == 0 && strcmp(argv[1], "") == 0 && argv[2] == NULL);
  CHECK(message.fields[4].length == 3 && memcmp(message.fields[4].bytes, "a\0b", 3) == 0);
  free(argv);
  message_free(&message);
  free(copy);
}

static void test_refusals(void) {
  char path[16], payload[64], *copy;
  struct message message;
  uint32_t path_end = put_field(path, TAG_PATH, "/", 1);
  struct {
    uint8_t tag;
    const char *bytes;
    uint32_t length;
  } wrong[] = {{TAG_PATH, "/", 1}, {TAG_SIZE, "12345678", 8}, {0, "", 0}, {200, "", 0}, {63, "", 0}, {TAG_FLAGS, "1234567", 7}, {TAG_ARGV, "a\0b", 3}};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    memcpy(payload, path, path_end);
    uint32_t end = path_end + put_field(payload + path_end, wrong[i].tag, wrong[i].bytes, wrong[i].length);
    CHECK(decode_copy(&message, payload, end, &copy) == -EPROTO);
    message_free(&message);
    free(copy);
  }
  for (uint32_t cut = 1; cut < path_end; cut++) {
    CHECK(decode_copy(&message, path, cut, &copy) == -EPROTO);
    message_free(&message);
    free(copy);
  }
  CHECK(decode_copy(&message, "", 0, &copy) == -EPROTO);
  free(copy);
}

static void test_field_bound(void) {
  uint32_t length = (FIELDS_MAX + 1) * 5;
  char *payload = calloc(1, length), *copy;
  struct message message;
  for (uint32_t i = 0; i < FIELDS_MAX + 1; i++) payload[i * 5] = i ? TAG_ARGV : TAG_PATH;
  CHECK(decode_copy(&message, payload, length - 5, &copy) == 0);
  CHECK(message_count(&message, TAG_ARGV) == FIELDS_MAX - 1);
  message_free(&message);
  free(copy);
  CHECK(decode_copy(&message, payload, length, &copy) == -E2BIG);
  free(copy);
  free(payload);
}

// What the sink writes the reader gives back, in pieces of any size.
static void test_round_trip(void) {
  static struct sink sink;
  static char storage[STORAGE], bytes[SINK_BYTES];
  int ends[2];
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
  sink_open(&sink, ends[0]);
  sink_begin(&sink, TYPE_ENTRY);
  sink_text(&sink, TAG_PATH, "a path");
  sink_commit(&sink);
  memset(sink_reserve(&sink), 'x', DATA_MAX);
  sink_commit_reserved(&sink, TYPE_DATA, DATA_MAX);
  CHECK(sink_reserve(&sink) == NULL);
  sink_begin(&sink, TYPE_OK);
  sink_raw(&sink, bytes, SINK_BYTES);
  sink_commit(&sink);
  size_t length = sink.end;
  memcpy(bytes, sink.data, length);
  struct reader reader;
  struct frame frame;
  reader_open(&reader, ends[1], storage, sizeof storage);
  int seen = 0;
  for (size_t at = 0; at < length;) {
    size_t piece = 1 + random_below(3000);
    if (piece > length - at) piece = length - at;
    CHECK(write(ends[0], bytes + at, piece) == (ssize_t)piece);
    at += piece;
    CHECK(reader_fill(&reader, 0) == (ssize_t)piece);
    while (reader_next(&reader, &frame) == 1) {
      CHECK(frame.type == (seen == 0 ? TYPE_ENTRY : TYPE_DATA));
      CHECK(seen == 0 || (frame.length == DATA_MAX && frame.payload[DATA_MAX - 1] == 'x'));
      seen++;
    }
  }
  CHECK(seen == 2);
  close(ends[0]);
  CHECK(reader_wait(&reader, &frame) == 0);
  close(ends[1]);
}

static void expect_refused(uint32_t length, uint8_t type) {
  static char storage[STORAGE];
  char header[FRAME_HEADER_BYTES];
  int ends[2];
  memcpy(header, &length, 4);
  header[4] = (char)type;
  CHECK(pipe(ends) == 0 && write(ends[1], header, sizeof header) == sizeof header);
  close(ends[1]);
  struct reader reader;
  struct frame frame;
  reader_open(&reader, ends[0], storage, sizeof storage);
  CHECK(reader_wait(&reader, &frame) == -1 && errno == EPROTO);
  close(ends[0]);
  if (reader.grown) free(reader.data);
}

static void test_frame_bounds(void) {
  expect_refused(UINT32_MAX, TYPE_EXEC);
  expect_refused(FRAME_MAX + 1, TYPE_EXEC);
  expect_refused(DATA_MAX + 1, TYPE_STDIN);
  expect_refused(FRAME_MAX, TYPE_DATA);
  // Within its bounds, but the stream ends before the frame does.
  expect_refused(FRAME_MAX, TYPE_EXEC);
  expect_refused(1, TYPE_DATA);
}

static uint32_t make_input(char *input) {
  uint32_t end = 0;
  uint64_t number = random_state;
  static const uint8_t tags[] = {TAG_ARGV, TAG_FLAGS, TAG_PATH, TAG_DATA, TAG_SIZE, 0, 255};
  for (uint32_t fields = random_below(12); fields > 0 && end < FUZZ_INPUT_MAX / 2; fields--) {
    uint8_t tag = tags[random_below(sizeof tags)];
    uint32_t length = tag == TAG_FLAGS ? 8 : random_below(40);
    char value[40];
    memset(value, 'a', sizeof value);
    memcpy(value, &number, 8);
    end += put_field(input + end, tag, value, length);
  }
  for (uint32_t changes = random_below(4); changes > 0 && end > 0; changes--) input[random_below(end)] = (char)random_below(256);
  if (random_below(4) == 0 && end > 0) end = random_below(end);
  return end;
}

static void check_decoded(const struct message *message, const char *payload, uint32_t length) {
  for (uint32_t i = 0; i < message->count; i++) {
    const struct field *field = &message->fields[i];
    CHECK(field->bytes >= payload && field->bytes + field->length <= payload + length);
    CHECK(schema.allowed & TAG_BIT(field->tag));
    if (kinds[field->tag] == KIND_TEXT) CHECK(strlen(field->bytes) == field->length);
  }
  CHECK(message_has(message, TAG_PATH) && message_count(message, TAG_PATH) == 1);
}

static void fuzz(uint64_t seed, uint64_t seconds) {
  char input[FUZZ_INPUT_MAX], *copy;
  uint64_t until_us = now_us() + seconds * 1000000, decoded = 0, rounds = 0;
  struct message message;
  random_state = seed | 1;
  for (; rounds % ROUNDS_PER_CLOCK || now_us() < until_us; rounds++) {
    uint32_t length = make_input(input);
    int error = decode_copy(&message, input, length, &copy);
    CHECK(error == 0 || error == -EPROTO);
    if (error == 0) check_decoded(&message, copy, length);
    decoded += error == 0;
    message_free(&message);
    free(copy);
  }
  CHECK(decoded > 0 && decoded < rounds);
  printf("frame: %llu random messages, %llu valid, seed %llu\n", (unsigned long long)rounds, (unsigned long long)decoded, (unsigned long long)seed);
}

int main(int argc, char **argv) {
  uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : now_us();
  random_state = seed | 1;
  test_fields();
  test_refusals();
  test_field_bound();
  test_round_trip();
  test_frame_bounds();
  fuzz(seed, argc > 2 ? strtoull(argv[2], NULL, 10) : 3);
  return 0;
}
