/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "sandbox.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Numbers of system calls are those of the headers; nothing here repeats them. */
#if defined(__x86_64__)
#define NC_ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__) && defined(__AARCH64EL__)
#define NC_ARCHITECTURE AUDIT_ARCH_AARCH64 /* compiled, never run */
#endif

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define NC_SANITIZER 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || defined(NC_SANITIZER)
bool nc_has_sanitizer(void) { return true; }
#else
bool nc_has_sanitizer(void) { return false; }
#endif

/* seccomp */

#ifdef NC_ARCHITECTURE

int nc_seccomp_refusal(void) {
  if (nc_has_sanitizer()) return ENOTSUP;
  /* A filter at address 0 is looked for, and not found, where filters are possible. */
  if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, NULL) == 0) return EINVAL;
  return errno == EFAULT ? 0 : errno;
}

/* One argument that decides: its low 32 bits, masked, are this value. Arguments here are ints and flags, of which the
   kernel reads no more, but for mmap's flags, of which it knows no higher ones. */
struct condition {
  unsigned argument;
  uint32_t mask, value;
};

struct program {
  struct sock_filter code[512];
  unsigned short count;
};

static void add(struct program *program, unsigned code, unsigned equal, unsigned other, uint32_t value) {
  program->code[program->count++] =
      (struct sock_filter){(uint16_t)code, (uint8_t)equal, (uint8_t)other, value};
}

static void load(struct program *program, size_t offset) {
  add(program, BPF_LD | BPF_W | BPF_ABS, 0, 0, (uint32_t)offset);
}

/* Allows a call on which all conditions hold. */
static void allow(struct program *program, long call, unsigned count, const struct condition *conditions) {
  unsigned left = 3 * count + 1; /* instructions to skip when a condition fails */
  load(program, offsetof(struct seccomp_data, nr));
  add(program, BPF_JMP | BPF_JEQ | BPF_K, 0, left, (uint32_t)call);
  for (unsigned i = 0; i < count; ++i) {
    left -= 3;
    load(program, offsetof(struct seccomp_data, args) + 8 * conditions[i].argument); /* little-endian: low half first */
    add(program, BPF_ALU | BPF_AND | BPF_K, 0, 0, conditions[i].mask);
    add(program, BPF_JMP | BPF_JEQ | BPF_K, 0, left, conditions[i].value);
  }
  add(program, BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW);
}

#define ALLOW(program, call, ...) \
  allow(program, call, sizeof((struct condition[]){__VA_ARGS__}) / sizeof(struct condition), \
        (const struct condition[]){__VA_ARGS__})
#define IS(argument, value) {argument, UINT32_MAX, (uint32_t)(value)}
#define ANYTHING {0, 0, 0}

int nc_enter_seccomp(const nc_held_descriptors *held) {
  if (nc_has_sanitizer()) return ENOTSUP;
  /* What may be read may not be executed, whatever the caller inherited. */
  (void)personality((unsigned long)personality(0xffffffff) & ~(unsigned long)READ_IMPLIES_EXEC);
  struct program program = {.count = 0};
  struct program *p = &program;
  load(p, offsetof(struct seccomp_data, arch));
  add(p, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, NC_ARCHITECTURE);
  add(p, BPF_RET | BPF_K, 0, 0, SECCOMP_RET_KILL_PROCESS);
  /* x32, whose numbers begin at 0x40000000, is refused like every number below that is not named. */

  for (int i = 0; i < 2; ++i) {
    if (held->files[i] < 0) continue;
    ALLOW(p, SYS_pread64, IS(0, held->files[i]));
    ALLOW(p, SYS_lseek, IS(0, held->files[i]));
    if (!held->may_write[i]) continue;
    ALLOW(p, SYS_pwrite64, IS(0, held->files[i]));
    ALLOW(p, SYS_ftruncate, IS(0, held->files[i]));
  }
  ALLOW(p, SYS_recvfrom, IS(0, held->channel));
  ALLOW(p, SYS_sendto, IS(0, held->channel));

  /* Memory of its own, never executable: there is no mprotect, and brk's is not. */
  ALLOW(p, SYS_brk, ANYTHING);
  ALLOW(p, SYS_mmap, {2, ~(uint32_t)(PROT_READ | PROT_WRITE), 0},
        {3, ~(uint32_t)MAP_NORESERVE, MAP_PRIVATE | MAP_ANONYMOUS});
  ALLOW(p, SYS_munmap, ANYTHING);
  ALLOW(p, SYS_mremap, ANYTHING);
  /* What is made once (Swift's globals, pthread_once) wakes those who wait for it. */
  ALLOW(p, SYS_futex, IS(1, FUTEX_WAKE_PRIVATE));
  ALLOW(p, SYS_futex, IS(1, FUTEX_WAIT_PRIVATE));
  /* Time stamps, where the kernel's page of its own does not know them. */
  ALLOW(p, SYS_clock_gettime, ANYTHING);
  ALLOW(p, SYS_gettimeofday, ANYTHING);
#ifdef SYS_time
  ALLOW(p, SYS_time, ANYTHING);
#endif

  /* The end. abort() says why on standard error and sends a signal to itself: so a heap that a file has damaged is told from
     a call that is forbidden. */
  ALLOW(p, SYS_exit_group, ANYTHING);
  ALLOW(p, SYS_exit, ANYTHING);
  ALLOW(p, SYS_write, IS(0, STDERR_FILENO));
  ALLOW(p, SYS_writev, IS(0, STDERR_FILENO));
  ALLOW(p, SYS_rt_sigprocmask, ANYTHING);
  ALLOW(p, SYS_getpid, ANYTHING);
  ALLOW(p, SYS_gettid, ANYTHING);
  ALLOW(p, SYS_tgkill, IS(0, getpid()), IS(1, syscall(SYS_gettid)), IS(2, SIGABRT));
  add(p, BPF_RET | BPF_K, 0, 0, SECCOMP_RET_KILL_PROCESS);

  struct sock_fprog filter = {program.count, program.code};
  return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) == 0 ? 0 : errno;
}

#else

int nc_seccomp_refusal(void) { return nc_has_sanitizer() ? ENOTSUP : ENOSYS; }
int nc_enter_seccomp(const nc_held_descriptors *held) { return (void)held, nc_seccomp_refusal(); }

#endif

/* Landlock. Headers of Debian 12 know its first version only; the numbers are the kernel's (linux/landlock.h). */

#ifndef SYS_landlock_create_ruleset /* the same on every processor */
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_restrict_self 446
#endif

struct ruleset {
  uint64_t paths;      /* version 1: 13 rights; 2: and linking elsewhere; 3: and truncation; 5: and device control */
  uint64_t network;    /* version 4: TCP bind, connect */
  uint64_t scope;      /* version 6: abstract sockets, signals */
};

int nc_landlock_version(void) {
  if (nc_has_sanitizer()) return 0; /* it opens files when it reports */
  long version = syscall(SYS_landlock_create_ruleset, NULL, 0, 1 /* asks for the version */);
  return version > 0 ? (int)version : 0;
}

int nc_enter_landlock(void) {
  int version = nc_landlock_version();
  if (version == 0) return 0;
  unsigned rights = version >= 5 ? 16 : version >= 3 ? 15 : version == 2 ? 14 : 13;
  struct ruleset rules = {(1u << rights) - 1, version >= 4 ? 3 : 0, version >= 6 ? 3 : 0};
  size_t size = version >= 6 ? sizeof rules : version >= 4 ? offsetof(struct ruleset, scope) : sizeof rules.paths;
  int descriptor = (int)syscall(SYS_landlock_create_ruleset, &rules, size, 0);
  if (descriptor < 0) return errno;
  /* Nothing was allowed before, so nothing is. */
  int error = syscall(SYS_landlock_restrict_self, descriptor, 0) == 0 ? 0 : errno;
  close(descriptor);
  return error;
}
