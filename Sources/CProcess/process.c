/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "process.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Swift reads the arguments from /proc/self/cmdline, and has none where that fails. The C library hands them to every
   constructor. */
extern void _swift_stdlib_overrideUnsafeArgvArgc(char **arguments, int count) __attribute__((weak));

__attribute__((constructor)) static void keep_arguments(int count, char **arguments) {
  if (_swift_stdlib_overrideUnsafeArgvArgc) _swift_stdlib_overrideUnsafeArgvArgc(arguments, count);
}

/* Made before anything fails: a handler may neither allocate nor format. */
typedef struct {
  char text[240];
  size_t length;
  int status;
} last_words;

static last_words no_memory, cut_file, bug;

static void prepare(last_words *words, int status, const char *sentence) {
  int length = snprintf(words->text, sizeof words->text, "%.60s: %s\n", program_invocation_short_name, sentence);
  words->length = length < (int)sizeof words->text ? (size_t)length : sizeof words->text - 1;
  words->status = status;
}

static int diagnostics = STDERR_FILENO;

int nc_process_diagnostics(void) { return diagnostics; }

static void keep_diagnostics_apart(void) {
  int own = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
  int nowhere = own < 0 ? -1 : open("/dev/null", O_WRONLY | O_CLOEXEC);
  if (nowhere >= 0) {
    if (dup2(nowhere, STDERR_FILENO) == STDERR_FILENO) diagnostics = own;
    close(nowhere);
  }
  if (own >= 0 && diagnostics != own) close(own);
}

static const char *_Atomic hidden;

void nc_process_hides(const char *path) { atomic_store(&hidden, path); }

static void remove_hidden(void) {
  const char *path = atomic_load(&hidden);
  if (path) unlink(path);
}

/* Lets the signal do what it does without a handler, as soon as this one returns. */
static void take_course(int number) {
  signal(number, SIG_DFL);
  raise(number);
}

static void end(int number) {
  remove_hidden();
  take_course(number);
}

static void trap(int number, siginfo_t *information, void *context) {
  (void)context;
  /* The C library and Swift stop at once when they get no memory: the error is still there. */
  int had_no_memory = errno == ENOMEM;
  remove_hidden();
  if (information->si_code <= 0 && information->si_pid != getpid()) {
    take_course(number);
    return;
  }
  /* Several threads may run out of memory at once; one speaks. */
  static atomic_flag spoken = ATOMIC_FLAG_INIT;
  if (atomic_flag_test_and_set(&spoken)) {
    for (;;) pause();
  }
  const last_words *words = number == SIGBUS ? &cut_file : had_no_memory ? &no_memory : &bug;
  ssize_t written = write(diagnostics, words->text, words->length);
  (void)written;
  _exit(words->status);
}

int nc_rename_new(const char *from, const char *to) {
  return renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE);
}

static void pass(int number) { (void)number; }

static void handle(int number, void (*handler)(int)) {
  struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
  sigemptyset(&action.sa_mask);
  sigaction(number, &action, NULL);
}

void nc_process_handle_traps(void) {
  if (getenv("SWIFT_BACKTRACE") || dlsym(NULL, "__asan_init") || dlsym(NULL, "__tsan_init")) return;
  prepare(&no_memory, 75, "out of memory");
  prepare(&cut_file, 74, "a file was cut, or could not be read, while it was in use");
  prepare(&bug, 70, "stopped by a bug of ours; please report it (with SWIFT_BACKTRACE=enable=yes it says where)");

  keep_diagnostics_apart();
  /* A stack that overflows leaves no room for a handler. */
  static char room[1 << 16];
  stack_t stack = {.ss_sp = room, .ss_size = sizeof room};
  sigaltstack(&stack, NULL);
  static const int traps[] = {SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGABRT, SIGFPE, SIGSYS};
  struct sigaction action = {.sa_sigaction = trap, .sa_flags = SA_SIGINFO | SA_ONSTACK};
  sigemptyset(&action.sa_mask);
  for (size_t i = 0; i < sizeof traps / sizeof *traps; i++) sigaction(traps[i], &action, NULL);
}

void nc_process_handle_signals(void) {
  /* A handler, not SIG_IGN: what is ignored stays so in the programs that a process starts. */
  handle(SIGXFSZ, pass);

  static const int ends[] = {SIGHUP,  SIGINT,  SIGQUIT, SIGPIPE,   SIGALRM, SIGTERM,
                             SIGUSR1, SIGUSR2, SIGXCPU, SIGVTALRM, SIGPROF, SIGIO};
  for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
    struct sigaction present;
    if (sigaction(ends[i], NULL, &present) == 0 && present.sa_handler != SIG_IGN) handle(ends[i], end);
  }
  /* A closed pipe ends a filter, whatever started it. */
  handle(SIGPIPE, end);
  /* Where it is ignored, nobody learns how a child ended. */
  signal(SIGCHLD, SIG_DFL);
}

void nc_process_return_memory(void) {
  mallopt(M_MMAP_THRESHOLD, 8 << 20);
  mallopt(M_TRIM_THRESHOLD, 16 << 20);
}
