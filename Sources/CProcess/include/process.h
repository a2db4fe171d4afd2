/* SPDX-License-Identifier: Apache-2.0 */
/* The process that a tool runs in: its arguments, and what it says and removes when a signal ends it. */
#ifndef NC_PROCESS_H
#define NC_PROCESS_H
#pragma clang assume_nonnull begin

/* Handles traps, failed allocations and the like, from the first statement of `main` on: one line on standard error, then
   exit status 70 or, where memory ran out, 75. A mapped file that was cut: one line, 74. Sent by another process: the
   signal takes its course.

   What libraries print before they give up (Swift's "Fatal error", C++'s "terminate called") would be a second line: the
   standard error that they know leads nowhere, and messages go to the descriptor `nc_process_diagnostics()`.

   Does nothing where the environment says something about Swift's own report, with a backtrace (SWIFT_BACKTRACE is set),
   and under a sanitizer. */
void nc_process_handle_traps(void);

/* Where messages are written. */
int nc_process_diagnostics(void);

/* Handles the other signals.

   SIGXFSZ is no longer fatal: the write fails with EFBIG.

   SIGINT, SIGTERM and whatever else ends a process: the hidden file is removed, then the signal takes its course. What
   was ignored stays ignored, but for SIGPIPE and SIGCHLD. */
void nc_process_handle_signals(void);

/* The path of a file that is to be removed when the process is ended by a signal (not by SIGKILL), or NULL. The string
   must live until another one takes its place. */
void nc_process_hides(const char *_Nullable path);

/* Gives memory back when it is freed: blocks of 8 MiB and more at once, of others what exceeds 16 MiB. The C library
   raises its limits with the blocks that it sees, and would keep 64 MiB. */
void nc_process_return_memory(void);

/* Renames a file where nothing has the new name; -1 and errno (EEXIST, or EINVAL where the file system cannot do that). */
int nc_rename_new(const char *from, const char *to);

#pragma clang assume_nonnull end
#endif
