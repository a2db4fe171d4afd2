/* SPDX-License-Identifier: Apache-2.0 */
/* Makes one call of a chosen function fail, from `main` on; to be preloaded by the tools (faults.py).

   NC_FAULT=FUNCTION:TURN:EFFECT   The call number TURN (from 1) of FUNCTION fails with the error number EFFECT; with 0 it
                                   is short: half of what was asked for is read or written; below 0 it gets that signal
                                   first. TURN+: all calls from then on.
   NC_NO_TMPFILE=1                 The file system has no files without a name.
   NC_FAULT=*:0:0                  No call fails; all are counted.
   NC_FAULT_LOG=FILE               Gets a line `hit` when that happens, or lines `FUNCTION CALLS` when the process exits. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static char function[32];
static const char *log_path;
static long turn;
static int effect, lasts;
static atomic_int armed;
static atomic_long calls;
static struct {
  const char *_Atomic name;
  atomic_long calls;
} counts[64];

static void note(const char *text) {
  long file = log_path ? syscall(SYS_open, log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
  if (file < 0) return;
  syscall(SYS_write, file, text, strlen(text));
  syscall(SYS_close, file);
}

/* Whether this call is the one. */
static int hit(const char *name) {
  if (!atomic_load(&armed)) return 0;
  for (int i = 0; *function == '*' && i < 64; i++) {
    const char *none = NULL;
    if (atomic_compare_exchange_strong(&counts[i].name, &none, name) || strcmp(none, name) == 0) {
      atomic_fetch_add(&counts[i].calls, 1);
      return 0;
    }
  }
  if (strcmp(name, function) != 0) return 0;
  long number = atomic_fetch_add(&calls, 1) + 1;
  if (number == turn) note("hit\n");
  if (number == turn && effect < 0) {
    kill(getpid(), -effect);
    return 0;
  }
  return number == turn || (lasts && turn > 0 && number > turn);
}

static int fails(const char *name) {
  if (!hit(name)) return 0;
  errno = effect;
  return 1;
}

static int (*real_main)(int, char **, char **);

static int main_with_faults(int count, char **arguments, char **environment) {
  const char *fault = getenv("NC_FAULT");
  char plus = 0;
  log_path = getenv("NC_FAULT_LOG");
  if (fault && (sscanf(fault, "%31[^:]:%ld:%d", function, &turn, &effect) == 3 ||
                sscanf(fault, "%31[^:]:%ld%c:%d", function, &turn, &plus, &effect) == 4)) {
    lasts = plus == '+';
    atomic_store(&armed, 1);
  }
  return real_main(count, arguments, environment);
}

__attribute__((destructor)) static void tell_calls(void) {
  char text[80];
  if (!atomic_exchange(&armed, 0)) return;
  for (int i = 0; i < 64 && counts[i].name; i++) {
    snprintf(text, sizeof text, "%.40s %ld\n", counts[i].name, counts[i].calls);
    note(text);
  }
}

int __libc_start_main(int (*main)(int, char **, char **), int count, char **arguments, void (*init)(void),
                      void (*fini)(void), void (*loader_fini)(void), void *end) {
  __typeof__(__libc_start_main) *real = (__typeof__(real))dlsym(RTLD_NEXT, "__libc_start_main");
  real_main = main;
  return real(main_with_faults, count, arguments, init, fini, loader_fini, end);
}

#define REAL(name) static __typeof__(name) *real; \
  if (!real) real = (__typeof__(real))dlsym(RTLD_NEXT, #name)

/* A call that returns -1 and sets errno. */
#define CALL(result, name, parameters, arguments, failure) \
  result name parameters { \
    REAL(name); \
    return fails(#name) ? failure : real arguments; \
  }

/* A call that reads or writes `count` bytes. */
#define TRANSFER(name, parameters, arguments) \
  ssize_t name parameters { \
    REAL(name); \
    if (hit(#name)) { \
      if (effect || count < 2) { errno = effect ? effect : EINTR; return -1; } \
      count /= 2; \
    } \
    return real arguments; \
  }

TRANSFER(read, (int file, void *buffer, size_t count), (file, buffer, count))
TRANSFER(write, (int file, const void *buffer, size_t count), (file, buffer, count))
TRANSFER(pread, (int file, void *buffer, size_t count, off_t at), (file, buffer, count, at))
TRANSFER(pwrite, (int file, const void *buffer, size_t count, off_t at), (file, buffer, count, at))
TRANSFER(recv, (int file, void *buffer, size_t count, int flags), (file, buffer, count, flags))
TRANSFER(send, (int file, const void *buffer, size_t count, int flags), (file, buffer, count, flags))

CALL(void *, mmap, (void *at, size_t size, int access, int flags, int file, off_t offset),
     (at, size, access, flags, file, offset), MAP_FAILED)
CALL(int, link, (const char *from, const char *to), (from, to), -1)
CALL(int, linkat, (int a, const char *from, int b, const char *to, int flags), (a, from, b, to, flags), -1)
CALL(int, rename, (const char *from, const char *to), (from, to), -1)
CALL(int, renameat2, (int a, const char *from, int b, const char *to, unsigned flags), (a, from, b, to, flags), -1)
CALL(int, unlink, (const char *path), (path), -1)
CALL(int, fsync, (int file), (file), -1)
CALL(int, fstat, (int file, struct stat *status), (file, status), -1)
CALL(int, stat, (const char *path, struct stat *status), (path, status), -1)
CALL(int, lstat, (const char *path, struct stat *status), (path, status), -1)
CALL(int, access, (const char *path, int mode), (path, mode), -1)
CALL(int, ftruncate, (int file, off_t size), (file, size), -1)
CALL(off_t, lseek, (int file, off_t at, int from), (file, at, from), -1)
CALL(int, fchmod, (int file, mode_t mode), (file, mode), -1)
CALL(int, fchown, (int file, uid_t user, gid_t group), (file, user, group), -1)
CALL(int, socketpair, (int domain, int type, int protocol, int pair[2]), (domain, type, protocol, pair), -1)
CALL(int, poll, (struct pollfd *entries, nfds_t count, int limit), (entries, count, limit), -1)
CALL(pid_t, waitpid, (pid_t process, int *status, int options), (process, status, options), -1)
CALL(int, madvise, (void *at, size_t size, int advice), (at, size, advice), -1)
CALL(void *, dlopen, (const char *path, int mode), (path, mode), NULL)

int close(int file) { /* fails, and has closed it all the same */
  REAL(close);
  int result = real(file);
  return fails("close") ? -1 : result;
}

int open(const char *path, int flags, ...) {
  REAL(open);
  va_list rest;
  va_start(rest, flags);
  mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  if ((flags & __O_TMPFILE) && getenv("NC_NO_TMPFILE")) {
    errno = EOPNOTSUPP;
    return -1;
  }
  return fails("open") ? -1 : real(path, flags, mode);
}

int fcntl(int file, int command, ...) {
  REAL(fcntl);
  va_list rest;
  va_start(rest, command);
  void *argument = va_arg(rest, void *);
  va_end(rest);
  return fails("fcntl") ? -1 : real(file, command, argument);
}

int posix_spawn(pid_t *process, const char *path, const posix_spawn_file_actions_t *actions,
                const posix_spawnattr_t *attributes, char *const arguments[], char *const environment[]) {
  REAL(posix_spawn);
  return hit("posix_spawn") ? effect : real(process, path, actions, attributes, arguments, environment);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument) {
  REAL(pthread_create);
  return hit("pthread_create") ? effect : real(thread, attributes, start, argument);
}

/* All ways to get memory are one: `malloc`. The C library's own names serve before anything can be looked up. */
extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t),
    *__libc_memalign(size_t, size_t);

void *malloc(size_t size) { return fails("malloc") ? NULL : __libc_malloc(size); }
void *calloc(size_t count, size_t size) { return fails("malloc") ? NULL : __libc_calloc(count, size); }
void *realloc(void *at, size_t size) { return fails("malloc") ? NULL : __libc_realloc(at, size); }
void *aligned_alloc(size_t alignment, size_t size) { return fails("malloc") ? NULL : __libc_memalign(alignment, size); }
int posix_memalign(void **at, size_t alignment, size_t size) {
  if (hit("malloc")) return ENOMEM;
  void *room = __libc_memalign(alignment, size);
  if (!room) return ENOMEM;
  *at = room;
  return 0;
}
