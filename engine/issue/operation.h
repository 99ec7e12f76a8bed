// What the planner wants done in one directory, as small values that an Executor carries out.
//
// Operations name their source by descriptor and name but not the directory they work in: the same list is issued for
// every destination of a fleet. Everything that an operation points to (names, bytes, metadata, descriptors) is
// the planner's and outlives the issue() call.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "engine/sys/kernel.h"
#include "engine/tree/metadata.h"

namespace vskel {

/// Its own visit gives it its metadata, but for what `mode` (see creation_mode()) settles already.
struct MakeDir {
  Name name;
  std::uint32_t mode;
};
/// A further name for `source` in `source_dir`.
struct LinkName {
  Name name;
  const DirFd* source_dir;
  Name source;
};
struct MakeSymlink {
  Name name;
  const std::string* target;
  const Metadata* metadata;
};
/// A FIFO or device.
struct MakeNode {
  Name name;
  sys::FileType type;
  std::uint64_t rdev;
  const Metadata* metadata;
};
/// A new regular file from bytes in memory: for small files, read once for all destinations.
struct WriteFile {
  Name name;
  std::span<const std::byte> content;
  const Metadata* metadata;
};
enum class CopyBy {
  clone,   ///< FICLONE or nothing
  data,    ///< copy_file_range(2), holes kept
  either,  ///< FICLONE where the file systems can, else data
};
/// A new regular file from an open one.
struct CopyFile {
  Name name;
  const Fd* source;
  std::uint64_t size;    ///< bytes
  std::uint64_t blocks;  ///< of 512 bytes: fewer than the size asks for means holes
  CopyBy by;
  const Metadata* metadata;
};
/// Gives the directory itself its metadata: last in its batch, because every name made in it moves its mtime.
struct SetDirectoryMetadata {
  const Metadata* metadata;
  Fresh fresh;  ///< yes: made by a MakeDir with the metadata's mode
};

using Operation = std::variant<MakeDir, LinkName, MakeSymlink, MakeNode, WriteFile, CopyFile, SetDirectoryMetadata>;

/// Operations for one directory. Order is kept only in that SetDirectoryMetadata comes after all others.
struct Batch {
  const DirFd* directory;
  std::span<const Operation> operations;
};

/// What came of a batch.
struct Results {
  struct Failure {
    std::size_t operation;  ///< index in the batch
    Error error;
  };
  std::vector<Failure> failures;  ///< in the order of the operations; empty if all went well
};

}  // namespace vskel
