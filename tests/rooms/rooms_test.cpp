// The walls between the rooms of the engine, the thickest of them around engine/sys: nobody else reaches a file, and
// what is in there does so by a directory's descriptor and one name.
//
// Judged by what the linker sees, not by how a source is written: whatever macro, header or spelling a call hides
// behind, the object file asks the C library for it by its symbol. What may be asked for is listed, not what may not,
// so that a call that nobody thought of fails too. Two ways to the kernel leave no symbol of their own, raw system
// calls and io_uring's inline functions, and one symbol serves many places; those are looked for in the sources, where
// they have one spelling.
//
// A test that is to find what should not be there is tried on what it must find: planted.cpp and the texts below.

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/process.h"

namespace vskel::test {
namespace {

namespace fs = std::filesystem;
using Strings = std::set<std::string>;

// --- symbols

/// Everything that the object files of a library want from elsewhere.
Strings wanted_symbols(const std::string& library) {
  std::vector<std::string> command{VSKEL_NM, "--undefined-only", "--format=posix"};
  std::ifstream list(fs::path(VSKEL_OBJECT_LISTS) / (library + ".objects"));
  for (std::string object; std::getline(list, object);)
    if (!object.empty()) command.push_back(object);
  EXPECT_GT(command.size(), 3U) << "no object files of " << library;
  std::istringstream lines(run_or_throw(command));
  Strings out;
  for (std::string line; std::getline(lines, line);)
    if (const std::size_t space = line.find(' '); space != line.npos) out.insert(line.substr(0, space));
  return out;
}

/// "open64" and "__open64_2" are open(2) as large files and fortified sources spell it.
std::string plain(std::string symbol) {
  const auto cut = [&](std::string_view prefix, std::string_view suffix) {
    if (symbol.size() <= prefix.size() + suffix.size() || !symbol.starts_with(prefix) || !symbol.ends_with(suffix))
      return;
    symbol = symbol.substr(prefix.size(), symbol.size() - prefix.size() - suffix.size());
  };
  cut("__isoc99_", "");
  cut("__isoc23_", "");
  cut("__", "_chk");
  cut("__", "_2");
  cut("", "64");
  return symbol;
}

bool starts_with_any(std::string_view text, std::span<const std::string_view> beginnings) {
  return std::ranges::any_of(beginnings, [&](std::string_view beginning) { return text.starts_with(beginning); });
}

/// Compute and allocate, or ask for nothing but time, threads and the state of this process.
bool is_harmless(const std::string& symbol) {
  static constexpr std::array<std::string_view, 12> kFamilies{
      "gnu_dev_", "XXH",     "nettle_sha256_", "__cxa_", "_Unwind_", "__asan_",
      "__ubsan_", "__tsan_", "__sanitizer_",   "mem",    "str",      "pthread_"};
  static const Strings kCalls{"_GLOBAL_OFFSET_TABLE_",
                              "__dso_handle",
                              "__errno_location",
                              "__gxx_personality_v0",
                              "__libc_single_threaded",
                              "__stack_chk_fail",
                              "__tls_get_addr",
                              "__assert_fail",
                              "__sched_cpucount",
                              "abort",
                              "bcmp",
                              "clock_gettime",
                              "fnmatch",
                              "free",
                              "getpid",
                              "gmtime_r",
                              "inet_ntop",
                              "inet_pton",
                              "localeconv",
                              "malloc",
                              "nanosleep",
                              "sched_getaffinity",
                              "sched_yield",
                              "secure_getenv",
                              "snprintf",
                              "sscanf",
                              "time"};
  // Reading what a callback of ours hands over; archive_read_open_filename and archive_write_disk_* stay outside.
  static const Strings kArchive{"archive_error_string",
                                "archive_read_data_block",
                                "archive_read_free",
                                "archive_read_new",
                                "archive_read_next_header",
                                "archive_read_open2",
                                "archive_read_support_filter_gzip",
                                "archive_read_support_filter_xz",
                                "archive_read_support_filter_zstd",
                                "archive_read_support_format_tar",
                                "archive_set_error"};
  if (symbol.starts_with("_Z")) {
    static constexpr std::array<std::string_view, 6> kWaysToFiles{"St10filesystem",     "St13basic_filebuf",
                                                                  "St14basic_ifstream", "St14basic_ofstream",
                                                                  "St13basic_fstream",  "St12__basic_file"};
    return std::ranges::none_of(kWaysToFiles, [&](std::string_view way) { return symbol.contains(way); });
  }
  const std::string call = plain(symbol);
  return starts_with_any(symbol, kFamilies) || starts_with_any(call, kFamilies) ||
         symbol.starts_with("archive_entry_") || kArchive.contains(symbol) || kCalls.contains(call);
}

/// syscall(2) comes in by oneTBB's headers, which wait on futexes; what we do with it ourselves the sources show.
bool may_stand_outside(const std::string& symbol) { return is_harmless(symbol) || symbol == "syscall"; }

/// By a descriptor, or by a directory's descriptor and a name; or about processes, signals and limits.
const Strings kByDescriptor{"close",
                            "closedir",
                            "copy_file_range",
                            "dirfd",
                            "dup2",
                            "fchdir",
                            "fchmod",
                            "fchown",
                            "fchownat",
                            "fclose",
                            "fcntl",
                            "fdatasync",
                            "fgets",
                            "flistxattr",
                            "fremovexattr",
                            "fsetxattr",
                            "fstat",
                            "fstatat",
                            "fstatfs",
                            "fsync",
                            "ftruncate",
                            "futimens",
                            "ioctl",
                            "linkat",
                            "lseek",
                            "mkdirat",
                            "mknodat",
                            "name_to_handle_at",
                            "openat",
                            "open_by_handle_at",
                            "pipe2",
                            "poll",
                            "pread",
                            "pwrite",
                            "read",
                            "readdir",
                            "readlinkat",
                            "renameat",
                            "renameat2",
                            "statx",
                            "symlinkat",
                            "syncfs",
                            "sync_file_range",
                            "unlinkat",
                            "utimensat",
                            "write",
                            "syscall",
                            "_exit",
                            "fork",
                            "getauxval",
                            "getppid",
                            "getrlimit",
                            "kill",
                            "prctl",
                            "setrlimit",
                            "setsid",
                            "sigaction",
                            "sigemptyset",
                            "signal",
                            "sigprocmask",
                            "umask",
                            "unshare",
                            "waitpid",
                            "io_uring_queue_exit",
                            "io_uring_queue_init",
                            "io_uring_register_iowq_max_workers",
                            "io_uring_submit_and_wait"};

/// What takes a path, and where the kernel room may use it.
struct Place {
  std::string_view call, file;
  std::size_t times;
  std::string_view why;
};
constexpr std::array kPlaces{
    Place{"open", "names.cpp", 3, "open_root and open_input: the administrator's own word; /proc/self/fd itself"},
    Place{"open", "host.cpp", 2, "/dev/null twice"},
    Place{"open", "proc.cpp", 2, "/proc/PID/..., which no tenant's tree leads to"},
    Place{"open", "processes.cpp", 3, "the same; root directories by the kernel's magic links"},
    Place{"open", "holders.cpp", 2, "directories by the kernel's magic links in /proc/PID, pinned and not read"},
    Place{"open", "confinement.cpp", 1, "VSERVERS and ETC, to allow what is below them"},
    Place{"open", "process.cpp", 5,
          "/dev/null; \"/\", where the walk to a trusted program begins; \"/\" and \".\" of a new mount namespace; "
          "/proc/self/fd/N"},
    Place{"open", "leases.cpp", 1, "/proc/sys/fs/lease-break-time"},
    Place{"opendir", "proc.cpp", 1, "/proc, /proc/PID/task and /proc/PID/fd"},
    Place{"opendir", "processes.cpp", 1, "/proc/PID/fd"},
    Place{"fopen", "processes.cpp", 1, "/proc/PID/maps"},
    Place{"readlink", "host.cpp", 1, "/proc/self/fd/N"},
    Place{"readlink", "holders.cpp", 1, "the kernel's magic links in /proc/PID"},
    Place{"chmod", "metadata.cpp", 1, "/proc/self/fd/N of what O_PATH pins: fchmodat2 is Linux 6.6"},
    Place{"listxattr", "metadata.cpp", 2, "/proc/self/fd/N of what O_PATH pins: listxattrat is Linux 6.13"},
    Place{"getxattr", "metadata.cpp", 2, "the same"},
    Place{"setxattr", "metadata.cpp", 1, "the same"},
    Place{"execve", "process.cpp", 1, "/proc/self/fd/4: the program that was checked"},
};

/// The guard's programs and map are reached by libbpf alone, at paths of its own below /sys/fs/bpf.
bool may_stand_in_guard(const std::string& symbol) {
  return may_stand_outside(symbol) || starts_with_any(symbol, std::array<std::string_view, 2>{"bpf_", "btf__"}) ||
         symbol == "libbpf_set_print" || symbol == "libbpf_num_possible_cpus" || symbol == "calloc" ||
         plain(symbol) == "vsnprintf";
}

bool may_stand_in_kernel_room(const std::string& symbol) {
  const std::string call = plain(symbol);
  return is_harmless(symbol) || kByDescriptor.contains(call) ||
         std::ranges::find(kPlaces, call, &Place::call) != kPlaces.end();
}

Strings without(Strings symbols, bool (*allowed)(const std::string&)) {
  std::erase_if(symbols, allowed);
  return symbols;
}

TEST(RoomsTest, NothingOutsideOfTheKernelRoomReachesFiles) {
  EXPECT_EQ(without(wanted_symbols("vskel_engine"), may_stand_outside), Strings())
      << "add what takes no path and asks the kernel for nothing to is_harmless()";
}

TEST(RoomsTest, LibbpfIsAskedByTheGuardAlone) {
  EXPECT_EQ(without(wanted_symbols("vskel_guard"), may_stand_in_guard), Strings());
  EXPECT_FALSE(may_stand_outside("bpf_obj_get"));
}

TEST(RoomsTest, TheKernelRoomAsksTheCLibraryForNothingElse) {
  EXPECT_EQ(without(wanted_symbols("vskel_kernel"), may_stand_in_kernel_room), Strings());
}

TEST(RoomsTest, EveryPlantedWayToAFileIsFound) {
  Strings found;
  for (const std::string& symbol : without(wanted_symbols("planted_violations"), may_stand_outside))
    found.insert(symbol.starts_with("_Z") ? symbol : plain(symbol));
  for (const char* call :
       {"open",   "creat",      "stat",         "lstat",  "chmod",    "chown",    "lchown",   "utime",
        "utimes", "setxattr",   "lremovexattr", "link",   "symlink",  "rename",   "unlink",   "rmdir",
        "remove", "mkdir",      "mknod",        "mkfifo", "truncate", "realpath", "readlink", "chdir",
        "nftw",   "fts64_open", "opendir",      "fopen",  "system",   "popen",    "openat"})
    EXPECT_EQ(found.erase(call), 1U) << call;
  const auto is_standard = [](const std::string& symbol) { return symbol.starts_with("_Z"); };
  const auto has = [&](std::string_view part) {
    return std::ranges::any_of(found, [&](const std::string& symbol) { return symbol.contains(part); });
  };
  EXPECT_TRUE(has("St10filesystem"));
  EXPECT_TRUE(has("basic_ifstream") || has("basic_filebuf"));
  std::erase_if(found, is_standard);
  EXPECT_EQ(found, Strings()) << "planted, but not listed here";
  // The kernel room may do what it is there for, and no more.
  EXPECT_TRUE(may_stand_in_kernel_room("openat64"));
  for (const char* symbol : {"__open_2", "open64", "__open64_2"}) EXPECT_FALSE(may_stand_outside(symbol)) << symbol;
  for (const char* symbol : {"rename", "unlink", "stat64", "realpath", "chdir", "system", "a_call_of_tomorrow"})
    EXPECT_FALSE(may_stand_in_kernel_room(symbol)) << symbol;
}

// --- sources

bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

std::string read_text(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// The text with comments, strings and characters blanked, line breaks kept.
std::string code_of(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const std::string_view rest = text.substr(at);
    std::size_t length = 1;
    if (rest.starts_with("//")) {
      length = std::min(rest.find('\n'), rest.size());
    } else if (rest.starts_with("/*")) {
      length = std::min(rest.find("*/") + 2, rest.size());
    } else if (rest[0] == '"' || (rest[0] == '\'' && (at == 0 || !is_word(text[at - 1])))) {
      while (length < rest.size() && rest[length] != rest[0]) length += rest[length] == '\\' ? 2 : 1;
      length = std::min(length + 1, rest.size());
    } else {
      out.push_back(rest[0]);
      ++at;
      continue;
    }
    for (const char c : rest.substr(0, length)) out.push_back(c == '\n' ? '\n' : ' ');
    at += length;
  }
  return out;
}

/// How often `code` calls the C library's `call`: alone, behind "::" or behind "std::", with arguments. Members and
/// functions of other namespaces have their own.
std::size_t calls_of(std::string_view code, std::string_view call) {
  std::size_t count = 0;
  for (std::size_t at = code.find(call); at != code.npos; at = code.find(call, at + 1)) {
    std::string_view before = code.substr(0, at), after = code.substr(at + call.size());
    if ((!before.empty() && is_word(before.back())) || !after.starts_with('(') || after.starts_with("()")) continue;
    if (before.ends_with('.') || before.ends_with("->")) continue;
    if (before.ends_with("::")) {
      before.remove_suffix(2);
      if (!before.empty() && is_word(before.back()) && !before.ends_with("std")) continue;
    }
    ++count;
  }
  return count;
}

/// All words of `code` that begin with `beginning`.
Strings words_with(std::string_view code, std::string_view beginning) {
  Strings out;
  for (std::size_t at = code.find(beginning); at != code.npos; at = code.find(beginning, at + 1)) {
    if (at > 0 && is_word(code[at - 1])) continue;
    const auto end = std::find_if_not(code.begin() + static_cast<std::ptrdiff_t>(at), code.end(), is_word);
    out.emplace(code.begin() + static_cast<std::ptrdiff_t>(at), end);
  }
  return out;
}

/// Every source of a folder below the repository's root.
std::vector<fs::path> sources_of(const std::string& folder) {
  std::vector<fs::path> out;
  for (const auto& entry : fs::recursive_directory_iterator(fs::path(VSKEL_SOURCES) / folder))
    if (entry.path().extension() == ".cpp" || entry.path().extension() == ".h") out.push_back(entry.path());
  EXPECT_FALSE(out.empty()) << folder;
  return out;
}

TEST(RoomsTest, ThePlacesThatTakeAPathAreThoseWithAReason) {
  std::map<std::pair<std::string, std::string>, std::size_t> wanted, found;
  for (const Place& place : kPlaces) wanted[{std::string(place.call), std::string(place.file)}] = place.times;
  for (const fs::path& source : sources_of("engine/sys")) {
    const std::string code = code_of(read_text(source));
    for (const auto& [key, times] : wanted)
      if (const std::size_t count = calls_of(code, key.first); count > 0)
        found[{key.first, source.filename().string()}] = count;
  }
  EXPECT_EQ(found, wanted);
}

TEST(RoomsTest, RawCallsAndRingsGoByDescriptorsToo) {
  const Strings raw{"SYS_capget",
                    "SYS_capset",
                    "SYS_clock_gettime",
                    "SYS_close_range",
                    "SYS_getdents64",
                    "SYS_kcmp",
                    "SYS_landlock_add_rule",
                    "SYS_landlock_create_ruleset",
                    "SYS_landlock_restrict_self",
                    "SYS_mount_setattr",
                    "SYS_move_mount",
                    "SYS_open_tree",
                    "SYS_openat2",
                    "SYS_pidfd_open",
                    "SYS_pidfd_send_signal"};
  const Strings rings{"io_uring_prep_close",   "io_uring_prep_linkat",    "io_uring_prep_mkdirat",
                      "io_uring_prep_openat2", "io_uring_prep_read",      "io_uring_prep_renameat",
                      "io_uring_prep_statx",   "io_uring_prep_symlinkat", "io_uring_prep_unlinkat",
                      "io_uring_prep_write"};
  Strings used_raw, used_rings;
  for (const fs::path& source : sources_of("engine")) {
    const std::string code = code_of(read_text(source));
    EXPECT_EQ(words_with(code, "AT_FDCWD"), Strings()) << source << ": the working directory is nobody's directory";
    used_raw.merge(words_with(code, "SYS_"));
    used_raw.merge(words_with(code, "__NR_"));
    used_rings.merge(words_with(code, "io_uring_prep_"));
    if (!source.string().contains("/engine/sys/")) {
      EXPECT_EQ(calls_of(code, "syscall"), 0U) << source;
    }
  }
  EXPECT_EQ(used_raw, raw);
  EXPECT_EQ(used_rings, rings);
}

TEST(RoomsTest, PlantedCallsAreFoundInText) {
  const std::string code = code_of(R"planted(
    // ::open("a comment")
    /* ::open(x) */ const char* text = "::open(\"x\")"; char quote = '"';
    int a = ::open(path, O_RDONLY), b = open(path, 1'000), c = std::open(path);
    file.open(path); file->open(path); sys::open(path); reopen(path); open_root(path); is.open();
    syscall(SYS_rename, AT_FDCWD, path); io_uring_prep_unlink(entry, path, 0);
  )planted");
  EXPECT_EQ(calls_of(code, "open"), 3U);
  EXPECT_EQ(calls_of(code, "syscall"), 1U);
  EXPECT_EQ(words_with(code, "SYS_"), Strings{"SYS_rename"});
  EXPECT_EQ(words_with(code, "AT_FDCWD"), Strings{"AT_FDCWD"});
  EXPECT_EQ(words_with(code, "io_uring_prep_"), Strings{"io_uring_prep_unlink"});
}

// --- who includes whom

/// The rooms from the bottom up, each with those below that it includes. "-" is what belongs to no room.
const std::vector<std::pair<std::string, Strings>> kRooms{
    {"sys", {}},
    {"model", {"sys"}},
    {"tree", {"sys"}},
    {"issue", {"model", "sys", "tree"}},
    {"manifest", {"model", "sys", "tree"}},
    {"content", {"manifest", "sys"}},
    {"seal", {"model", "sys", "tree"}},
    {"txn", {"sys", "tree"}},
    {"accounts", {"sys"}},
    {"quiesce", {"model", "sys", "tree", "txn"}},
    {"packages", {"sys"}},
    {"skel",
     {"accounts", "content", "issue", "manifest", "model", "packages", "quiesce", "seal", "sys", "tree", "txn"}},
    {"vserver",
     {"accounts", "content", "manifest", "model", "packages", "quiesce", "seal", "skel", "sys", "tree", "txn"}},
    {"relink",
     {"accounts", "content", "issue", "manifest", "model", "packages", "quiesce", "seal", "skel", "sys", "tree", "txn",
      "vserver"}},
    {"recover", {"model", "quiesce", "relink", "skel", "sys", "tree", "txn", "vserver"}},
    {"measure", {"content", "issue", "model", "sys", "tree"}},
};

/// Headers of the C library that are a way to the kernel; those of the kernel room alone.
bool is_kernel_header(std::string_view header) {
  static constexpr std::array<std::string_view, 12> kHeaders{"fcntl.h",    "unistd.h", "dirent.h", "fts.h",
                                                             "ftw.h",      "glob.h",   "utime.h",  "spawn.h",
                                                             "filesystem", "fstream",  "liburing", "stdio.h"};
  if (header == "sys/sysmacros.h" || header == "sys/types.h") return false;  // arithmetic and names of types
  return header.starts_with("sys/") || header.starts_with("linux/") || starts_with_any(header, kHeaders);
}

/// Why a source of `room` may not include what it includes; one line each.
Strings wrong_includes(const std::string& room, const std::string& text) {
  static const std::map<std::string, Strings> kMay(kRooms.begin(), kRooms.end());
  Strings out;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("#include ") || line.size() < 12) continue;
    const std::string header = line.substr(10, line.find_first_of("\">", 10) - 10);
    if (line[9] == '<') {
      if (room != "sys" && is_kernel_header(header)) out.insert("<" + header + ">");
      continue;
    }
    constexpr std::string_view kEngine = "engine/";
    if (!header.starts_with(kEngine)) {
      out.insert(header);
      continue;
    }
    const std::string other = header.substr(kEngine.size(), header.find('/', kEngine.size()) - kEngine.size());
    // call.h is what wrappers of the kernel share; the seam is the tests'.
    const bool inner = room != "sys" && (header == "engine/sys/call.h" || header == "engine/sys/proc.h" ||
                                         header == "engine/sys/seam.h");
    if (inner || (other != room && !kMay.at(room).contains(other))) out.insert(header);
  }
  return out;
}

std::string room_of(const fs::path& source) {
  return fs::relative(source, fs::path(VSKEL_SOURCES) / "engine").begin()->string();
}

TEST(RoomsTest, RoomsIncludeOnlyThoseBelow) {
  Strings rooms, known;
  for (const auto& [room, may] : kRooms) {
    for (const std::string& other : may) EXPECT_TRUE(known.contains(other)) << room << " stands below " << other;
    known.insert(room);
  }
  for (const fs::path& source : sources_of("engine")) {
    const std::string room = room_of(source);
    rooms.insert(room);
    ASSERT_TRUE(known.contains(room)) << source << ": a new room wants a line in kRooms";
    EXPECT_EQ(wrong_includes(room, read_text(source)), Strings()) << source;
  }
  EXPECT_EQ(rooms, known);
}

TEST(RoomsTest, CommandsAreNotIncludedByTheEngineNorTheEngineByWhatJudgesIt) {
  for (const fs::path& source : sources_of("cli")) {
    const std::string text = read_text(source);
    for (const char* inner : {"engine/sys/call.h", "engine/sys/seam.h", "engine/sys/bare.h", "engine/sys/ring.h"})
      EXPECT_FALSE(text.contains(inner)) << source;
  }
  // A fault in the engine must not hide itself.
  for (const fs::path& source : sources_of("tests/support"))
    EXPECT_FALSE(read_text(source).contains("#include \"engine/")) << source;
}

TEST(RoomsTest, PlantedIncludesAreFound) {
  EXPECT_EQ(
      wrong_includes("tree", "#include <vector>\n#include \"engine/sys/fd.h\"\n#include \"engine/tree/walk.h\"\n"),
      Strings());
  EXPECT_EQ(
      wrong_includes("tree",
                     "#include <fcntl.h>\n#include <sys/stat.h>\n#include <sys/sysmacros.h>\n"
                     "#include \"engine/skel/skel.h\"\n#include \"cli/output.h\"\n"
                     "#include \"engine/sys/call.h\"\n#include <fstream>\n"),
      (Strings{"<fcntl.h>", "<sys/stat.h>", "engine/skel/skel.h", "cli/output.h", "engine/sys/call.h", "<fstream>"}));
  EXPECT_EQ(wrong_includes("sys", "#include <fcntl.h>\n#include \"engine/tree/walk.h\"\n"),
            Strings{"engine/tree/walk.h"});
}

}  // namespace
}  // namespace vskel::test
