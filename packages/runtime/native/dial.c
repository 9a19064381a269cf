// DIAL: a connection to a port of the sandbox, as raw bytes both ways.
#include "init.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct way {
  int from, to;
  size_t start, end;
  bool ended, closed;
  char data[DATA_MAX];
};

static int connect_to(const struct sockaddr *address, socklen_t length) {
  int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  // On the loopback a connection is made or refused at once, and a full backlog is given up by the kernel's own clock.
  if (connect(fd, address, length) == 0) return fd;
  int error = errno;
  close(fd);
  errno = error;
  return -1;
}

static int connect_port(uint16_t port) {
  struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
  int fd = connect_to((struct sockaddr *)&four, sizeof four);
  int error = errno;
  if (fd < 0) fd = connect_to((struct sockaddr *)&six, sizeof six);
  errno = error;
  return fd;
}

// One step of one direction; false when it broke.
static bool pump(struct way *way, bool readable, bool writable) {
  if (readable && way->start == way->end) {
    ssize_t got = recv(way->from, way->data, sizeof way->data, MSG_DONTWAIT);
    if (got < 0) return errno == EAGAIN || errno == EINTR;
    way->start = 0;
    way->end = (size_t)got;
    way->ended = got == 0;
    writable = true;
  }
  if (writable && way->start < way->end) {
    ssize_t put = send(way->to, way->data + way->start, way->end - way->start, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (put < 0) return errno == EAGAIN || errno == EINTR;
    way->start += (size_t)put;
  }
  if (way->ended && !way->closed && way->start == way->end) {
    shutdown(way->to, SHUT_WR);
    way->closed = true;
  }
  return true;
}

static void relay(int host, int port, const struct reader *early) {
  static struct way out, in;
  out.from = in.to = host;
  out.to = in.from = port;
  // Bytes that came with the request are the first of the stream.
  out.end = early->end - early->start;
  memcpy(out.data, early->data + early->start, out.end);
  while (!(out.closed && in.closed)) {
    bool out_full = out.start < out.end, in_full = in.start < in.end;
    struct pollfd ready[2] = {
        {.fd = host, .events = (short)((out_full || out.ended ? 0 : POLLIN) | (in_full ? POLLOUT : 0))},
        {.fd = port, .events = (short)((in_full || in.ended ? 0 : POLLIN) | (out_full ? POLLOUT : 0))},
    };
    if (poll(ready, 2, -1) < 0 && errno != EINTR) return;
    // The host has closed both ways, or the port was reset: nobody is left to talk to.
    if ((ready[0].revents & (POLLERR | POLLHUP)) && !(ready[0].revents & POLLIN)) return;
    bool gone = ready[1].revents & (POLLERR | POLLHUP);
    if (!pump(&out, ready[0].revents & POLLIN, ready[1].revents & POLLOUT)) return;
    if (!pump(&in, gone || (ready[1].revents & POLLIN), ready[0].revents & POLLOUT)) return;
  }
}

void serve_dial(struct session *session) {
  uint64_t number = message_number(&session->request, TAG_PORT, 0);
  if (number < 1 || number > 65535) fail(session, EINVAL, "bad_request", "a port is 1 to 65535");
  int port = connect_port((uint16_t)number);
  if (port < 0) fail_errno(session, errno, "connect");
  int now = 1;
  setsockopt(port, IPPROTO_TCP, TCP_NODELAY, &now, sizeof now);
  sink_commit(open_frame(session, TYPE_OK));
  flush(session);
  relay(session->fd, port, &session->reader);
  _exit(0);
}
