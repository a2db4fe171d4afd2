/* SPDX-License-Identifier: Apache-2.0 */
/* Takes from the process everything but what libhdf5 needs to read (and, where asked, write) files that are open.

   Limits on numbers (of descriptors, bytes, seconds) do not stop code that a damaged file brings into a process: it
   could still start programs, send signals, delete files. Two mechanisms of Linux do. A seccomp filter names the few
   system calls that remain; any other ends the process by SIGSYS. Landlock forbids every path, should a call that takes
   one remain. Either may be missing: an old kernel, or a container whose own filter refuses them. */
#ifndef NC_SANDBOX_H
#define NC_SANDBOX_H
#include <stdbool.h>

/* The descriptors that the process may go on using. */
typedef struct {
  /* A connected socket: send and receive. */
  int channel;
  /* Files: seek, and read at an offset. -1: none. */
  int files[2];
  /* Whether each may also be written at an offset and truncated. */
  bool may_write[2];
} nc_held_descriptors;

/* Why no seccomp filter can be installed: 0 when it can; ENOTSUP for a build with a sanitizer, which needs more system
   calls; ENOSYS also for a processor whose table is not here (it is for x86-64 and aarch64); else what the kernel
   answers. Changes nothing. */
int nc_seccomp_refusal(void);

/* The version of Landlock's interface, 0 when there is none. Changes nothing. */
int nc_landlock_version(void);

/* Forbids every path, TCP, and signals and abstract sockets of others, as far as this kernel's Landlock can; needs
   no_new_privs. Files that are open stay as they are. 0, or an errno; 0 too where there is no Landlock. */
int nc_enter_landlock(void);

/* Installs the filter: complete, and for ever. Needs no_new_privs. malloc must have been told to use one arena, or it asks
   for mprotect when memory runs out. 0, or an errno. */
int nc_enter_seccomp(const nc_held_descriptors *held);

/* Whether this build has a sanitizer. */
bool nc_has_sanitizer(void);
#endif
