public import ArgumentParser
internal import Glibc
internal import Networks
internal import SystemPackage

/// A command line tool: options declared as properties, work in `run()`.
public protocol Tool: ParsableCommand {}

extension Tool {
  /// Runs the tool and ends the process with the right exit status.
  public static func main() {
    NetworkFile.serveIfChild()
    prepareProcess()
    if CommandLine.arguments.count == 1, isatty(STDIN_FILENO) == 1 {
      diagnose(text: helpMessage() + "\n")
      Glibc.exit(ExitStatus.usage.rawValue)
    }
    do {
      var tool = try parseAsRoot()
      try tool.run()
    } catch let failure as Failure {
      diagnose(([_commandName] + [failure.file, failure.message].compactMap { $0 }).joined(separator: ": "))
      Glibc.exit(failure.status.rawValue)
    } catch {
      exit(withError: error)
    }
  }
}

/// One line on stderr; line feeds and other control characters, as names may have them, are shown as `\xHH`.
public func diagnose(_ line: String) { diagnose(text: printable(line) + "\n") }

/// Text of our own on stderr.
public func diagnose(text: String) {
  Progress.erase()
  var text = text
  // Nobody is left to tell when stderr itself fails.
  _ = try? text.withUTF8 { _ = try FileDescriptor.standardError.writeAll(UnsafeRawBufferPointer($0)) }
}

/// Writes a report to standard output; fails like any other write.
public func report(_ text: String) throws(Failure) {
  do {
    var text = text
    _ = try text.withUTF8 { try FileDescriptor.standardOutput.writeAll(UnsafeRawBufferPointer($0)) }
  } catch {
    throw Failure(.ioError, file: "standard output", "\(error)")
  }
}

/// A closed pipe ends the process quietly; a closed standard descriptor is never taken by a file that is opened later.
private func prepareProcess() {
  signal(SIGPIPE, SIG_DFL)
  // Inputs are mapped: reading where a file was cut meanwhile ends here.
  signal(SIGBUS) { _ in
    let message: StaticString = "nc: a file was cut while it was being read\n"
    _ = write(STDERR_FILENO, message.utf8Start, message.utf8CodeUnitCount)
    _exit(ExitStatus.ioError.rawValue)
  }
  for descriptor in STDIN_FILENO...STDERR_FILENO where fcntl(descriptor, F_GETFD) == -1 {
    // Opened the wrong way round on purpose: using it fails, as using a closed one would.
    _ = open("/dev/null", descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY)
  }
}
