/* The process that a tool runs in: its arguments, and what it says and removes when a signal ends it. */
#ifndef NC_PROCESS_H
#define NC_PROCESS_H
#pragma clang assume_nonnull begin

/* Handles the signals that would end the process, for the tool of this name.

   A trap, a failed allocation and the like: one line on standard error, then exit status 70 or, where memory ran out,
   75. Swift's own report, with a backtrace, is kept where the environment asks for it (SWIFT_BACKTRACE is set), and so
   are the handlers of a sanitizer. A mapped file that was cut: one line, 74. Sent by another process: the signal takes
   its course.

   SIGXFSZ is no longer fatal: the write fails with EFBIG.

   SIGINT, SIGTERM and whatever else ends a process: the hidden file is removed, then the signal takes its course. What
   was ignored stays ignored, but for SIGPIPE. */
void nc_process_prepare(const char *tool);

/* The path of a file that is to be removed when the process is ended by a signal (not by SIGKILL), or NULL. The string
   must live until another one takes its place. */
void nc_process_hides(const char *_Nullable path);

/* Renames a file where nothing has the new name; -1 and errno (EEXIST, or EINVAL where the file system cannot do that). */
int nc_rename_new(const char *from, const char *to);

#pragma clang assume_nonnull end
#endif
