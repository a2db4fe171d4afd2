# SPDX-License-Identifier: Apache-2.0
"""Loads a hostile library into the process that runs libhdf5 and lets it act from inside an HDF5 call.

    sandbox.py TOOLS NETWORK.h5

The library takes the place of libhdf5 and passes every call on; in the first `H5Oopen_by_addr` it does something that
reading a file never needs. Where that succeeds, a file (the mark) is gone. Each action runs three times: in the sandbox,
where it must fail; with seccomp refused by a filter around the tool, where Landlock must stop what it can; and with both
refused, where it must succeed, or this check would show nothing.
"""
import concurrent.futures, ctypes, errno, os, pathlib, platform, re, resource, signal, socket, struct, subprocess, sys, tempfile, time
import h5py, numpy as np

SOURCES = pathlib.Path(__file__).resolve().parent.parent / "Sources/CSandbox"
SHIM = r"""
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
static int64_t (*genuine)(int64_t, uint64_t);
static pid_t parent;
static char memory_path[64], *low;
__attribute__((constructor)) static void prepare(void) {
  genuine = dlsym(RTLD_NEXT, "H5Oopen_by_addr");
  parent = getppid();
  snprintf(memory_path, sizeof memory_path, "/proc/%d/mem", parent);
#ifdef MAP_32BIT
  low = strcpy(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0), MARK);
#endif
}
static void done(void) { syscall(SYS_unlinkat, AT_FDCWD, MARK, 0); }
/* Number 0 is below every limit on the number of open files. */
static int opened(const char *path, int flags) {
  int descriptor = open(path, flags, 0600);
  if (descriptor < 0) { close(0); descriptor = open(path, flags, 0600); }
  return descriptor;
}
static int connected(int family, const void *address, socklen_t size) {
  int descriptor = socket(family, SOCK_STREAM, 0);
  if (descriptor < 0) { close(0); descriptor = socket(family, SOCK_STREAM, 0); }
  return descriptor >= 0 && connect(descriptor, address, size) == 0;
}
static double computed(void) {
  struct timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return now.tv_sec + now.tv_nsec * 1e-9;
}
static void answer(uint64_t count) { /* of which nothing follows */
  unsigned char header[9] = {1};
  memcpy(header + 1, &count, 8);
  send(3, header, 9, 0);
}
static void wait_for_ever(void) {
  static int word;
  for (;;) syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
}
static void act(void) { ACTION; }
int64_t H5Oopen_by_addr(int64_t place, uint64_t address) {
  static int count;
  if (count++ == 0) act();
  return genuine(place, address);
}
"""
# What it does; whether it works where nothing forbids it; whether Landlock alone stops it, from which version.
ACTIONS = {
    "open": ('if (opened(SECRET, O_RDONLY) >= 0) done()', True, 1),
    "create": ('if (opened(SECRET ".new", O_WRONLY | O_CREAT) >= 0) done()', True, 1),
    "unlink": ('done()', True, 1),
    "rename": ('rename(MARK, MARK ".moved")', True, 1),
    "exec": ('execl(PROGRAM, PROGRAM, NULL)', True, 1),
    "fork": ('if (fork() == 0) { done(); _exit(0); }', True, 1),
    "kill": ('if (kill(parent, 0) == 0) done()', True, 6),
    "memory of another": ('if (opened(memory_path, O_RDWR) >= 0) done()', True, 1),
    "read another": ('char byte; struct iovec to = {&byte, 1}, from = {(void *)genuine, 1};'
                     'if (process_vm_readv(parent, &to, 1, &from, 1, 0) != -1 || ptrace(PTRACE_SEIZE, parent, 0, 0) == 0) done()', True, 1),
    "TCP": ('struct sockaddr_in to = {AF_INET, htons(PORT), {htonl(INADDR_LOOPBACK)}}; if (connected(AF_INET, &to, sizeof to)) done()', True, 4),
    "socket of a path": ('struct sockaddr_un to = {AF_UNIX, SOCKET}; if (connected(AF_UNIX, &to, sizeof to)) done()', True, 0),
    "executable memory": ('if (mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED) done()', True, 1),
    "memory made executable": ('void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);'
                               'if (mprotect(page, 4096, PROT_READ | PROT_EXEC) == 0) done()', True, 1),
    "code of the file": ('if (mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, 4, 0) != MAP_FAILED) done()', True, 1),
    "shared memory": ('if (mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0) != MAP_FAILED) done()', True, 1),
    "pass a descriptor": ('struct msghdr message = {0}; if (sendmsg(3, &message, 0) >= 0) done()', True, 1),
    "write the file": ('if (pwrite(4, "x", 1, 0) == 1) done()', False, 0),
    "numbers of x32": ('syscall(0x40000000 | SYS_pread64, 4, low, 1, 0)', False, 0),
    "numbers of i386": ('INT80', False, 0),
}
INT80 = 'long result = 10; __asm__ volatile("int $0x80" : "+a"(result) : "b"(low) : "memory")' if platform.machine() == "x86_64" else 'syscall(SYS_reboot)'
# What it does, the arguments, the seconds it may take, the expected status, and what the message says. `MIB` is the parent's peak.
ENDINGS = {
    "sleep": ("pause()", [], 5, 65, "forbidden system call"),
    "sleep without channel": ("close(3); pause()", [], 5, 65, "forbidden system call"),
    "wait for the parent": ("char byte; recv(3, &byte, 1, 0)", [], 45, 75, "neither computed nor read for 30 s"),
    "wait for nobody": ("wait_for_ever()", [], 45, 75, "neither computed nor read for 30 s"),
    "announce 4 GB": ("answer(4000000000); wait_for_ever()", [], 45, 75, "neither computed nor read for 30 s"),
    "announce more": ("answer((uint64_t)1 << 50); wait_for_ever()", [], 5, 65, ""),
    "no answer": ("static char junk[64]; memset(junk, 0xAA, 64); send(3, junk, 64, 0); wait_for_ever()", [], 5, 65, ""),
    "loop": ("for (;;);", ["--time", "1"], 10, 75, "--time"),
    "abort": ("abort()", [], 5, 65, "died by signal 6"),
    "crash": ("*(volatile int *)8 = 0", [], 5, 65, "died by signal 11"),
    "exit": ("_exit(0)", [], 5, 65, "libhdf5 ended on this file"),
    "all memory": ("for (size_t size = 1 << 20; size > 8; size /= 2) while (malloc(size));", ["--memory", "256M"], 15, (65, 75), ""),
}
UNFILTERED = {                                                            # the same without seccomp
    "sleep": ("pause()", [], 45, 75, "neither computed nor read for 30 s"),
    "sleep without channel": ("close(3); pause()", [], 10, 65, "closed its connection"),
}
COMPUTES = "while (computed() < 1.5)"                                     # of processor time; then it goes on
NUMBERS = r"""
#define _GNU_SOURCE
#include "sandbox.h"
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
/* Tries every system call with some arguments, each in a process of its own under the filter, and compares those that did
   not end it with a list. */
static const nc_held_descriptors reading = {3, {4, -1}, {false, false}}, copying = {3, {4, 5}, {false, true}};
#define ALWAYS SYS_brk, SYS_munmap, SYS_mremap, SYS_clock_gettime, SYS_gettimeofday, TIME SYS_exit, SYS_exit_group, \
  SYS_rt_sigprocmask, SYS_getpid, SYS_gettid
#ifdef SYS_time
#define TIME SYS_time,
#else
#define TIME
#endif
static const struct { const char *name; const nc_held_descriptors *held; long arguments[4]; long survivors[32]; } cases[] = {
    {"zeros", &reading, {0, 0, 0, 0}, {ALWAYS, -1}},
    {"the channel", &reading, {3, 0, 0, 0}, {ALWAYS, SYS_recvfrom, SYS_sendto, -1}},
    {"standard error", &reading, {2, 0, 0, 0}, {ALWAYS, SYS_write, SYS_writev, -1}},
    {"the file", &reading, {4, 0, 0, 0}, {ALWAYS, SYS_pread64, SYS_lseek, -1}},
    {"the copy, not held", &reading, {5, 0, 0, 0}, {ALWAYS, -1}},
    {"the file that is copied", &copying, {4, 0, 0, 0}, {ALWAYS, SYS_pread64, SYS_lseek, -1}},
    {"the copy", &copying, {5, 0, 0, 0}, {ALWAYS, SYS_pread64, SYS_lseek, SYS_pwrite64, SYS_ftruncate, -1}},
    {"FUTEX_WAKE_PRIVATE", &reading, {1, 129, 0, 0}, {ALWAYS, SYS_futex, -1}},
    {"FUTEX_WAKE, shared", &reading, {1, 1, 0, 0}, {ALWAYS, -1}},
    {"memory", &reading, {1 << 16, 4096, 3, 0x22}, {ALWAYS, SYS_mmap, -1}},
    {"executable memory", &reading, {1 << 16, 4096, 7, 0x22}, {ALWAYS, -1}},
    {"shared memory", &reading, {1 << 16, 4096, 3, 0x21}, {ALWAYS, -1}},
    {"memory at an address", &reading, {1 << 16, 4096, 3, 0x32}, {ALWAYS, -1}},
    {"memory of a file", &reading, {1 << 16, 4096, 3, 0x02}, {ALWAYS, -1}},
};
int main(void) {
  int pair[2], failed = 0, count = sizeof cases / sizeof *cases;
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0 || pair[0] != 3) return 2;
  if (dup2(open("/dev/null", O_RDWR), 4) < 0 || dup2(4, 5) < 0) return 2;
  shutdown(3, SHUT_RDWR);
  for (int i = 0; i < count; ++i) {
    int wrong = 0;
    for (long call = 0; call < 600; ++call) {
#ifdef __x86_64__
      if (call == 335 || call == 336) continue; /* traps of uprobes, which Linux keeps from every filter */
#endif
      pid_t process = fork();
      if (process == 0) {
        signal(SIGPIPE, SIG_IGN);
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        if (nc_enter_seccomp(cases[i].held) != 0) _exit(99);
        syscall(call, cases[i].arguments[0], cases[i].arguments[1], cases[i].arguments[2], cases[i].arguments[3], 0, 0);
        _exit(0);
      }
      int status = 0, expected = 0;
      waitpid(process, &status, 0);
      for (const long *survivor = cases[i].survivors; *survivor >= 0; ++survivor) expected |= *survivor == call;
      int survived = !(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
      if (survived != expected || (WIFEXITED(status) && WEXITSTATUS(status) == 99)) {
        printf("FAILED system call %ld on %s: status %x\n", call, cases[i].name, status);
        wrong = 1;
      }
    }
    failed += wrong;
  }
  printf("%d of %d argument lists\n", count - failed, count);
  return failed > 0;
}
"""


class Refusal:
    """A seccomp filter that lets everything pass but `seccomp`, `prctl(PR_SET_SECCOMP)`, and if asked Landlock."""

    def __init__(self, error, landlock=False):
        own, control = {"x86_64": (317, 157), "aarch64": (277, 167)}[platform.machine()]
        refused = [own] + ([444, 445, 446] if landlock else [])
        code = [(0x20, 0, 0, 0)] + [(0x15, 5 + len(refused) - i - 1, 0, number) for i, number in enumerate(refused)]
        code += [(0x15, 0, 3, control), (0x20, 0, 0, 16), (0x15, 2, 0, 22), (0x06, 0, 0, 0x7FFF0000), (0x06, 0, 0, 0x7FFF0000)]
        self.code = ctypes.create_string_buffer(b"".join(struct.pack("<HBBI", *line) for line in code + [(0x06, 0, 0, 0x00050000 | error)]))
        self.program = ctypes.create_string_buffer(struct.pack("<HxxxxxxQ", len(code) + 1, ctypes.addressof(self.code)))
        self.library, self.number = ctypes.CDLL(None, use_errno=True), own

    def __call__(self):                                                   # in the process that becomes the tool
        if self.library.prctl(38, 1, 0, 0, 0) or self.library.syscall(self.number, 1, 0, self.program):
            os._exit(99)


class Check:
    def __init__(self, tools, network, folder):
        self.tools, self.network, self.folder = tools, network, folder
        self.passed = self.failed = 0
        listed = subprocess.run(["ldd", tools + "/nc-info"], capture_output=True, text=True, check=True).stdout
        self.soname, genuine = re.search(r"(libhdf5\S*) => (\S+)", listed).groups()
        # Under another name of the same length, so that the loader takes both.
        self.genuine = "libgenuine".ljust(len(self.soname), "_")
        data = pathlib.Path(genuine).read_bytes()
        assert data.count(self.soname.encode() + b"\0") == 1
        (folder / self.genuine).write_bytes(data.replace(self.soname.encode() + b"\0", self.genuine.encode() + b"\0"))
        # Symbols have versions where the library was built so.
        elf = subprocess.run(["readelf", "-W", "-V", "--dyn-syms", tools + "/nc-info"], capture_output=True, text=True, check=True).stdout
        own = re.search(r" H5Oopen_by_addr@(\S*)", elf)
        self.versions = folder / "versions"
        self.versions.write_text("".join(f"{name} {{ {'H5Oopen_by_addr;' if own and name == own[1] else ''} }};\n"
                                         for name in sorted(set(re.findall(r"Name: (HDF5\S+)", elf)))))
        self.program = folder / "program"                                 # static: it needs no descriptors
        self.secret, self.mark = folder / "secret", folder / "marks"
        self.secret.write_text("secret")
        self.mark.mkdir()
        subprocess.run(["cc", "-static", "-x", "c", "-", "-o", self.program], check=True, text=True,
                       input=f'#include <unistd.h>\nint main(void) {{ return unlink("{self.mark}/exec"); }}')
        self.server = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.local = socket.socket(socket.AF_UNIX)
        self.local.bind(str(folder / "socket"))
        self.local.listen(64)

    def expect(self, what, holds, found=""):
        self.passed += bool(holds)
        self.failed += not holds
        if not holds:
            print(f"FAILED {what}: {found}", flush=True)

    def hostile(self, name, action):
        """A folder with a library that takes libhdf5's place, and its mark."""
        name = re.sub(r"\W", "-", name)
        folder, mark = self.folder / name, self.mark / name
        folder.mkdir(exist_ok=True)
        os.path.exists(folder / self.genuine) or os.link(self.folder / self.genuine, folder / self.genuine)
        macros = {"ACTION": action.replace("INT80", INT80), "MARK": f'"{mark}"', "SECRET": f'"{self.secret}"', "SOCKET": f'"{self.folder}/socket"',
                  "PROGRAM": f'"{self.program}"', "PORT": self.server.getsockname()[1]}
        source = "".join(f"#define {key} {value}\n" for key, value in macros.items()) + SHIM
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-w", "-x", "c", "-", "-x", "none", "-o", folder / self.soname,
                        f"-Wl,-soname,{self.soname},--no-as-needed,--version-script,{self.versions}", folder / self.genuine], input=source, text=True, check=True)
        mark.write_text("")
        return folder, mark

    def start(self, *command, library=None, refusal=None):
        environment = os.environ | ({"LD_LIBRARY_PATH": str(library)} if library else {})
        return subprocess.Popen([self.tools + "/" + command[0], *map(str, command[1:])], env=environment, preexec_fn=refusal, text=True,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)

    def finish(self, process, seconds=60):
        try:
            output, errors = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return None, f"still runs after {seconds} s"
        return process.returncode, output + errors

    def run(self, *command, seconds=60, **options):
        return self.finish(self.start(*command, **options), seconds)


def child_of(process):
    """The process that runs libhdf5; not the one that tries before whether filters can be had."""
    for _ in range(2000):
        for child in pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
            try:
                if b"--hdf5-child" in pathlib.Path(f"/proc/{child}/cmdline").read_bytes():
                    return int(child)
            except OSError:                                               # it has ended meanwhile
                pass
        time.sleep(.002)
    raise RuntimeError("no child")


def actions(check, landlock):
    for name, (action, works, stopped) in ACTIONS.items():
        library, mark = check.hostile(name, action)
        status, text = check.run("nc-info", check.network, library=library)
        check.expect(f"{name}, in the sandbox", status in (65, 70) and mark.exists(), f"exit {status}, mark {mark.exists()}: {text[-200:]}")
        check.expect(f"{name}: says so", "forbidden system call" in text, text[-200:])
        if 0 < stopped <= landlock and name in ("open", "create", "unlink", "rename", "exec", "fork", "kill", "memory of another", "read another", "TCP"):
            check.run("nc-info", check.network, library=library, refusal=Refusal(errno.EPERM))
            check.expect(f"{name}, under Landlock alone", mark.exists())
        if works:
            mark.write_text("")
            check.run("nc-info", check.network, library=library, refusal=Refusal(errno.EPERM, landlock=True))
            check.expect(f"{name}, where nothing forbids it, works", not mark.exists())


def endings(check):
    """All side by side: some take their half minute."""
    def ending(name, case, refusal):
        action, arguments, seconds, expected, words = case
        library, _ = check.hostile(name + (" unfiltered" if refusal else ""), action)
        begin = time.monotonic()
        process = check.start("nc-info", *arguments, check.network, library=library, refusal=refusal)
        status, text = check.finish(process, 90)
        return name, status, text, time.monotonic() - begin, seconds, expected, words

    jobs = [(name, case, None) for name, case in ENDINGS.items()] + [(name, case, Refusal(errno.EPERM)) for name, case in UNFILTERED.items()]
    with concurrent.futures.ThreadPoolExecutor(len(jobs)) as pool:
        for name, status, text, took, seconds, expected, words in pool.map(lambda job: ending(*job), jobs):
            expected = expected if isinstance(expected, tuple) else (expected,)
            check.expect(name, status in expected and words in text and took < seconds, f"exit {status} after {took:.1f} s: {text[-200:]}")
            check.expect(f"{name}: one line", text.count("\n") == 1, text)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10
    check.expect("memory is taken as bytes arrive, not as they are announced", peak < 1024, f"{peak} MiB")


def lateness(check):
    """A child that is stopped, or seldom gets its turn, is late and no more; one that is killed was killed."""
    library, _ = check.hostile("computes", COMPUTES)
    stopped = check.start("nc-info", check.network, library=library)
    child = child_of(stopped)
    time.sleep(.3)
    os.kill(child, signal.SIGSTOP)
    waits, _ = check.hostile("waits", "wait_for_ever()")
    for number in (signal.SIGKILL, signal.SIGTERM):
        process = check.start("nc-info", check.network, library=waits)
        victim = child_of(process)
        time.sleep(.5)
        os.kill(victim, number)
        status, text = check.finish(process)
        check.expect(f"killed by {number}", status == 74 and f"was killed (signal {int(number)})" in text, f"exit {status}: {text[-200:]}")
    time.sleep(8)
    os.kill(child, signal.SIGCONT)
    status, text = check.finish(stopped)
    check.expect("stopped for 8 s", status == 0, f"exit {status}: {text[-200:]}")
    load = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(20)]
    begin = time.monotonic()
    status, text = check.run("nc-info", check.network, library=library, seconds=200)
    for process in load:
        process.kill()
        process.wait()
    check.expect("twenty others compute", status == 0, f"exit {status} after {time.monotonic() - begin:.0f} s: {text[-200:]}")


def refusals(check):
    """Where seccomp is refused, the tools do the same, and say so."""
    folder = check.folder
    version = check.run("nc-info", "--version")[1]
    check.expect("--version names the sandbox", "HDF5 confined by: seccomp" in version, version)
    check.expect("-v names the sandbox", "confined by: seccomp" in check.run("nc-info", "-v", check.network)[1])
    plain = folder / "plain.ncz"
    check.expect("compresses in the sandbox", check.run("nc-ternarize", "-q", check.network, plain) == (0, ""))
    for number in (errno.ENOSYS, errno.EPERM, errno.EINVAL):
        for refusal in Refusal(number), Refusal(number, landlock=True):
            words = f"no seccomp ({os.strerror(number)})" + (", no Landlock" if refusal.code.raw.count(struct.pack("<I", 444)) else "")
            packed, restored = folder / "packed.ncz", folder / "restored.h5"
            for tool in ("nc-info", "nc-ternarize", "nc-prune", "nc-quantize", "nc-restore", "nc-run", "nc-verify"):
                text = check.run(tool, "--version", refusal=refusal)[1]
                check.expect(f"{tool} --version, {words}", words in text, text)
            status, text = check.run("nc-ternarize", "-vf", check.network, packed, refusal=refusal)
            check.expect(f"-v, {words}", status == 0 and words in text, text[-200:])
            check.expect("the same bytes", packed.read_bytes() == plain.read_bytes())
            status, text = check.run("nc-restore", "-qf", packed, restored, refusal=refusal)
            check.expect(f"nc-restore, {words}", status == 0, text[-200:])


def starved(check):
    """Few descriptors, little memory: the cause is named."""
    for count in range(4, 12):
        status, text = check.run("nc-info", check.network, refusal=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (count, count)))
        named = status == 0 or "oo many open files" in text or "does not find its libraries" in text or "libraries" in text
        check.expect(f"ulimit -n {count}", status in (0, 74, 75, 127) and named and "nvalid" not in text, f"exit {status}: {text[-200:]}")
    status, text = check.run("nc-info", "--memory", "1000000", check.network)
    check.expect("--memory 1000000", status == 75 and "67108864" in text and "--memory" in text, f"exit {status}: {text}")
    for value in ("0", "-1", "inf", "1e999", "0x10", "nan", "2000000", ""):
        status, text = check.run("nc-info", "--time", value, check.network)
        check.expect(f"--time '{value}'", status == 64, f"exit {status}: {text}")


def sound_files(folder):
    """Files that make libhdf5 or the C library ask for more than reading: tables to sort, names of other files, a time in the old spelling."""
    def network(file):
        for name, shape in ("a", (20, 20)), ("b", (20, 5)):
            file[name + "/kernel"] = np.random.default_rng(1).standard_normal(shape).astype("f4")
            file[name + "/bias"] = np.zeros(shape[1], "f4")

    for name, versions in ("ordered", ("v108", "v110")), ("ordered_old", "earliest"):
        with h5py.File(folder / f"{name}.h5", "w", libver=versions, track_order=name == "ordered") as file:
            network(file)
            for i in range(300):
                file.create_group(f"group{299 - i}")
                file["a"].attrs[f"name{299 - i}"] = i
            file.create_dataset("chunks", data=np.zeros((400, 400), "f4"), chunks=(10, 10), compression="gzip")
    with h5py.File(folder / "elsewhere.h5", "w", libver=("v108", "v110")) as file:
        network(file)
        file["external"] = h5py.ExternalLink("other.h5", "/x")
        file.create_dataset("storage", (10,), "f4", external=[("raw", 0, 40)])
        layout = h5py.VirtualLayout((4, 100), "f8")
        for i in range(4):
            layout[i] = h5py.VirtualSource("other.h5", "x", (100,))
        file.create_virtual_dataset("virtual", layout)
    path = folder / "old_time.h5"
    with h5py.File(path, "w", libver="earliest") as file:
        network(file)
        file["number"] = np.zeros(3, "i4")
        address = h5py.h5o.get_info(file["number"].id).addr
    data = bytearray(path.read_bytes())
    position = address + 16
    while struct.unpack_from("<HH", data, position)[0] != 0:              # an empty message becomes one of type 14: a date as text, in local time
        position += 8 + struct.unpack_from("<HH", data, position)[1]
    assert struct.unpack_from("<HH", data, position)[1] >= 16
    struct.pack_into("<H", data, position, 14)
    data[position + 8:position + 24] = b"20010203040506\0\0"
    path.write_bytes(data)


def sameness(check):
    """What is sound gives the same in the sandbox as without."""
    folder, free = check.folder / "sound", Refusal(errno.EPERM, landlock=True)
    folder.mkdir()
    sound_files(folder)
    for path in sorted(folder.glob("*.h5")) + sorted(check.network.parent.glob("*")):
        if path.suffix not in (".h5", ".keras"):
            continue
        results = []
        for refusal in None, free:
            packed, reduced = (check.folder / f"{name}.{refusal is None}" for name in ("packed", "reduced"))
            runs = [check.run("nc-info", "--json", path, refusal=refusal), check.run("nc-prune", "-qf", "--by", "node", "--keep", ".5", path, packed, refusal=refusal)]
            if runs[-1][0] == 0:
                runs += [check.run("nc-restore", "-qf", *options, packed, reduced, refusal=refusal) for options in ((), ("--layout", "plain"), ("--shape", "reduced"))]
            results.append([(status, text.replace(str(packed), "").replace(str(reduced), "")) for status, text in runs]
                           + [output.read_bytes() for output in (packed, reduced) if output.exists()])
        check.expect(f"{path.name} in the sandbox", results[0] == results[1], str([pair for pair in zip(*results) if pair[0] != pair[1]])[:300])
        if path.parent == folder:
            check.expect(f"{path.name} works", all(run[0] == 0 for run in results[0] if isinstance(run, tuple)), str(results[0][1:5])[:300])


def numbers(check):
    """Every system call by its number; and the table of the processor that this machine has not."""
    program = check.folder / "numbers"
    subprocess.run(["cc", "-O1", "-w", "-I", SOURCES / "include", SOURCES / "sandbox.c", "-x", "c", "-", "-o", program], input=NUMBERS, text=True, check=True)
    result = subprocess.run([program], capture_output=True, text=True)
    check.expect("system calls by number", result.returncode == 0, result.stdout[-2000:])
    headers = pathlib.Path("/usr/aarch64-linux-gnu/include")
    if headers.is_dir():
        result = subprocess.run(["clang", "--target=aarch64-linux-gnu", "-fsyntax-only", "-Wall", "-Wextra", "-Werror", "-isystem", headers, "-I", SOURCES / "include",
                                 SOURCES / "sandbox.c"], capture_output=True, text=True)
        check.expect("compiles for aarch64", result.returncode == 0, result.stderr)
    else:
        print("no headers of aarch64 (libc6-dev-arm64-cross): not compiled for it")


def main():
    tools, network = str(pathlib.Path(sys.argv[1]).resolve()), pathlib.Path(sys.argv[2]).resolve()
    version = subprocess.run([tools + "/nc-info", "--version"], capture_output=True, text=True).stdout
    landlock = int((re.search(r"Landlock (\d+)", version) or [0, 0])[1])
    with tempfile.TemporaryDirectory() as folder:
        check = Check(tools, network, pathlib.Path(folder))
        actions(check, landlock)
        numbers(check)
        refusals(check)
        sameness(check)
        starved(check)
        endings(check)
        lateness(check)
    print(f"{check.passed} passed, {check.failed} failed")
    return check.failed > 0


if __name__ == "__main__":
    sys.exit(main())
