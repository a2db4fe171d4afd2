public import ArgumentParser
internal import CProcess
internal import Glibc
internal import Networks
internal import SystemPackage

/// A command line tool: options declared as properties, work in `run()`.
public protocol Tool: ParsableCommand {}

extension Tool {
  /// Runs the tool and ends the process with the right exit status.
  public static func main() {
    nc_process_handle_traps()
    NetworkFile.serveIfChild()
    nc_process_handle_signals()
    keepStandardDescriptors()
    do {
      try checkProcess()
      if CommandLine.arguments.count == 1, isatty(STDIN_FILENO) == 1 {
        diagnose(text: helpMessage() + "\n")
        Glibc.exit(ExitStatus.usage.rawValue)
      }
      var tool = try parseAsRoot()
      try tool.run()
    } catch {
      end(with: error)
    }
  }

  /// Says what went wrong in one line, or shows the help that was asked for.
  private static func end(with error: any Error) -> Never {
    if let failure = error as? Failure {
      diagnose(([_commandName] + [failure.file, failure.message].compactMap { $0 }).joined(separator: ": "))
      Glibc.exit(failure.status.rawValue)
    }
    let status = exitCode(for: error)
    if status.isSuccess {
      do throws(Failure) {
        try report(fullMessage(for: error) + "\n")
      } catch {
        end(with: error)
      }
    } else if !(error is ExitCode) {
      // The parser's message may show an argument; what controls a terminal in it stays text.
      for line in message(for: error).split(separator: "\n") { diagnose("\(_commandName): \(line)") }
      diagnose("\(usageString()) (\(_commandName) --help says more)")
    }
    Glibc.exit(status.rawValue)
  }
}

/// One line on stderr; line feeds and other control characters, as names may have them, are shown as `\xHH`.
public func diagnose(_ line: String) { diagnose(text: printable(line) + "\n") }

/// Text of our own on stderr.
public func diagnose(text: String) {
  Progress.erase()
  var text = text
  // Nobody is left to tell when stderr itself fails.
  let diagnostics = FileDescriptor(rawValue: nc_process_diagnostics())
  _ = try? text.withUTF8 { _ = try diagnostics.writeAll(UnsafeRawBufferPointer($0)) }
}

/// Writes a report to standard output; fails like any other write.
public func report(_ text: String) throws(Failure) {
  Progress.erase()
  do {
    var text = text
    _ = try text.withUTF8 { try FileDescriptor.standardOutput.writeAll(UnsafeRawBufferPointer($0)) }
  } catch {
    throw Failure(.ioError, file: "standard output", "\(error)")
  }
}

/// Writes a JSON value to standard output as a line of its own; what is not printable in it is escaped.
public func report(json: [UInt8]) throws(Failure) { try report(printable(json: json) + "\n") }

/// Makes sure of what the work cannot do without.
private func checkProcess() throws(Failure) {
  guard access("/proc/self/exe", X_OK) == 0 else {
    throw Failure(
      .internalError, "cannot read /proc/self: /proc must be mounted, the process that reads HDF5 is started from there"
    )
  }
  var limit = rlimit()
  // Inputs, data, output, temporary files, and the ends of a channel to a process.
  let needed: rlim_t = 32
  guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) != 0 || limit.rlim_cur >= needed else {
    throw Failure(
      .overLimit, "too many open files: the limit is \(limit.rlim_cur), \(needed) are needed (ulimit -n \(needed))")
  }
}

/// A closed standard descriptor is never taken by a file that is opened later.
private func keepStandardDescriptors() {
  for descriptor in STDIN_FILENO...STDERR_FILENO where fcntl(descriptor, F_GETFD) == -1 {
    // Opened the wrong way round on purpose: using it fails, as using a closed one would.
    _ = open("/dev/null", descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY)
  }
}
