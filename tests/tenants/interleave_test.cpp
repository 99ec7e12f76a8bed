// An attacker's move after any kernel call of the engine: the program runs in a child of the test with a seam that, at
// the nth call, has another process make one of the moves of attack.h, at the very path that the engine works on or at
// one of interest, and then goes on. Which calls and moves is drawn with fixed seeds; VSKEL_LONG=1 takes all calls.
// About 50 s on all file systems together.
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <functional>
#include <random>

#include "cli/run.h"
#include "engine/sys/kernel.h"
#include "engine/sys/seam.h"
#include "tests/support/inode_extras.h"
#include "tests/system/relink_fixture.h"
#include "tests/tenants/attack.h"
#include "tests/tenants/tenant.h"

namespace vskel::test {
namespace {

constexpr int kLimitSeconds = 20, kNotMade = -1;
constexpr int kPatienceMs = 20;  ///< for a move that waits for the engine (a lease)

/// Paths that a relink of the update below works on, and some that it leaves alone.
const std::vector<std::string> kOfInterest = {
    "usr/bin/updated",          "usr/bin/mine",    "usr/bin/changed",     "usr/share/turns",
    "usr/share/turns/sub/file", "usr/share/comes", "usr/share/comes/new", "usr/share/goes/x",
    "usr/share/goes",           "usr/share/mode",  "etc/updated",         "etc/own",
    "usr/share/turns/sub",      "var/lib/x/file",  "usr/lib/link"};

/// One attack, and what came of it; shared between the test, the program's process and the attacker's.
struct Board {
  std::atomic<int> calls;
  int renames;              ///< how many of the calls were renames and exchanges: around those most can go wrong
  int rename_at[256];       ///< and which
  char renamed[256][64];    ///< the end of the path, for each
  std::atomic<int> result;  ///< of the move; kNotMade
  char path[512];
  char call[128];  ///< before which the move was asked for
  std::uint64_t node, parent_node;
  mode_t mode;  ///< of what the attacker put there
};

std::uint64_t inode_at(const std::string& path) {
  struct stat status {};
  return ::lstat(path.c_str(), &status) == 0 ? status.st_ino : 0;
}

/// Asks for the move at the nth call, and waits for it unless it is held up.
class AttackingSeam : public sys::Seam {
 public:
  AttackingSeam(Board& board, int at, bool where_it_works, int victim, int ask, int answer)
      : board_(board), at_(at), where_it_works_(where_it_works), victim_(victim), ask_(ask), answer_(answer) {}

  int before(const char* call, bool /*changes*/, int dir, const char* name) override {
    const int now = board_.calls.fetch_add(1) + 1;
    if (std::strncmp(call, "rename", 6) == 0 && board_.renames < 256) {
      const std::string path = (dir >= 0 ? link_of(dir) : "") + "/" + name;
      std::snprintf(board_.renamed[board_.renames], sizeof board_.renamed[0], "%s",
                    path.substr(path.size() - std::min(path.size(), sizeof board_.renamed[0] - 1)).c_str());
      board_.rename_at[board_.renames++] = now;
    }
    if (at_ == 0 || now > at_) return 0;
    if (dir >= 0) note_place(dir, name);
    if (now != at_) return 0;
    std::snprintf(board_.call, sizeof board_.call, "%s %s", call, name);
    if (where_it_works_ && !last_.empty()) std::snprintf(board_.path, sizeof board_.path, "%s", last_.c_str());
    if (::write(ask_, "g", 1) != 1) return 0;
    pollfd answer{answer_, POLLIN, 0};
    ::poll(&answer, 1, kPatienceMs);
    return 0;
  }

 private:
  static std::string link_of(int number) {
    Fd borrowed(number);
    std::string path = sys::path_of(borrowed);
    (void)borrowed.release();
    return path;
  }
  void note_place(int dir, const char* name) {
    const std::string root = link_of(victim_), at = link_of(dir);
    if (!at.starts_with(root) || (at.size() > root.size() && at[root.size()] != '/')) return;
    std::string path = at.substr(std::min(at.size(), root.size() + 1));
    if (*name != '\0') path += (path.empty() ? "" : "/") + std::string(name);
    // Who tampers with what is to come to him, in the slots, has it so: nothing says what must be found of that.
    if (!path.empty() && !path.starts_with(".vskel-")) last_ = path;
  }

  Board& board_;
  int at_;
  bool where_it_works_;
  int victim_, ask_, answer_;
  std::string last_;
};

struct Attack {
  const Move* move = nullptr;  ///< none: only counts the calls
  int at_call = 0;
  bool where_it_works = false;
  std::string path, partner;
};

std::string text_of(const Attack& attack) {
  if (attack.move == nullptr) return "no move";
  return std::string(attack.move->name) + " before call " + std::to_string(attack.at_call) +
         (attack.where_it_works ? ", there" : ", at " + attack.path) + ", partner " + attack.partner;
}

struct Ended {
  int code = -1, signal = 0;
  std::string said;
  std::chrono::steady_clock::duration took{};
};

/// How many attacks in the short variant: most where a run costs least.
int runs_on(FileSystem kind) {
  if (kind == FileSystem::tmpfs) return 80;
  return kind == FileSystem::ext4 ? 16 : 8;
}

class InterleaveTest : public RelinkTest {
 protected:
  void SetUp() override {
    RelinkTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    put(canary() / "file", file("outside", 0600).with_xattr("trusted.canary", "x"));
    put(canary() / "directory/inside", file("outside, too"));
    put(root() / "usr/bin/updated", file("updated 0", 0755));
    put(root() / "usr/bin/mine", file(std::string(5000, 'm')));
    put(root() / "usr/bin/changed", file("changed 0"));
    put(root() / "usr/share/turns/sub/file", file("a subtree"));
    put(root() / "usr/share/goes/x", file("goes"));
    put(root() / "usr/share/mode/inside", file("inside mode"));
    put(root() / "usr/share/stays", file("stays"));
    put(root() / "usr/lib/link", symlink_to("somewhere"));
    put(root() / "etc/updated", file("etc updated 0"));
    put(root() / "var/lib/x/file", file("var 0"));
    build();
    board_ =
        static_cast<Board*>(::mmap(nullptr, sizeof(Board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  }

  [[nodiscard]] fs::path canary() const { return mount() / "canary"; }

  /// The skel's other state: what was there changes, goes, comes or becomes something else.
  void update() {
    ++generation_;
    const bool odd = generation_ % 2 == 1;
    const std::string number = std::to_string(generation_);
    update_skel(
        {{"usr/bin/updated", file("updated " + number, 0755)},
         {"usr/bin/changed", file("changed " + number)},
         {"usr/share/turns", odd ? file("a file now") : directory({{"sub", directory({{"file", file("a subtree")}})}})},
         {"usr/share/comes", odd ? directory({{"new", file("new")}}) : absent()},
         {"usr/share/goes", odd ? absent() : directory({{"x", file("goes")}})},
         {"usr/lib/link", symlink_to("target " + number)},
         {"etc/updated", file("etc updated " + number)},
         {"var/lib/x/file", file("var " + number)}});
  }

  /// Vservers with what a tenant has done in them.
  [[nodiscard]] std::vector<std::string> make_vservers(int count, const std::string& share) {
    std::vector<std::string> names;
    const std::string prefix = "w" + std::to_string(++worlds_) + "x";
    const ProcessResult made =
        vskel({"create-vs", "base", "--count", std::to_string(count), "--name", prefix + "%d", "--fqdn",
               "%s.example.com", "--ip-from", "10." + std::to_string(worlds_) + ".0.1", "--share", share});
    EXPECT_EQ(made.code, 0) << made;
    for (int i = 1; i <= count; ++i) {
      names.push_back(prefix + std::to_string(i));
      change(names.back(), {{"usr/bin/mine", file(std::string(5000, 'm'))},
                            {"usr/bin/changed", file("the tenant's")},
                            {"etc/own", file("the tenant's own file")}});
    }
    return names;
  }

  /// Inodes that a seal is for.
  [[nodiscard]] std::set<std::uint64_t> inodes_of_skel() const {
    std::set<std::uint64_t> inodes;
    for (const auto& [path, node] : snapshot_tree(skel())) inodes.insert(node.inode);
    return inodes;
  }

  Ended run_attacked(const Attack& attack, const std::string& victim, Arguments arguments) {
    const std::set<std::uint64_t> sealed = inodes_of_skel();
    new (board_) Board{};
    board_->result = kNotMade;
    std::snprintf(board_->path, sizeof board_->path, "%s", attack.path.c_str());
    int ask[2], answer[2], over[2];
    if (::pipe2(ask, O_CLOEXEC) != 0 || ::pipe2(answer, O_CLOEXEC) != 0 || ::pipe2(over, O_CLOEXEC) != 0) std::abort();
    const pid_t attacker = ::fork();
    if (attacker == 0) {
      ::close(ask[1]);
      ::close(over[1]);
      be_attacker(attack, victim, sealed, ask[0], answer[1], over[0]);
    }
    ::close(ask[0]);
    ::close(over[0]);
    const fs::path said = mount() / "said";
    const auto start = std::chrono::steady_clock::now();
    const pid_t program = ::fork();
    if (program == 0) {
      ::close(over[1]);
      be_program(attack, victim, std::move(arguments), ask[1], answer[0], said);
    }
    ::close(ask[1]);
    Ended ended;
    int status = 0;
    ::waitpid(program, &status, 0);
    ended.took = std::chrono::steady_clock::now() - start;
    if (WIFSIGNALED(status)) ended.signal = WTERMSIG(status);
    if (WIFEXITED(status)) ended.code = WEXITSTATUS(status);
    ended.said = read_file(said);
    for (const int fd : {over[1], answer[0], answer[1]}) ::close(fd);
    ::waitpid(attacker, nullptr, 0);
    return ended;
  }

  [[noreturn]] void be_attacker(const Attack& attack, const std::string& victim, const std::set<std::uint64_t>& sealed,
                                int ask, int answer, int over) const {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::umask(0);
    char go = 0;
    const bool early = ::chdir(vserver(victim).c_str()) == 0;
    if (::read(ask, &go, 1) != 1 || attack.move == nullptr) ::_exit(0);
    if (!early && ::chdir(vserver(victim).c_str()) != 0) ::_exit(0);  // it is not public yet
    Kept kept;
    const AttackPlace place{board_->path, attack.partner, canary().string(), &sealed};
    // Names of sealed inodes are let go only while no tenant runs (safety.md, "Quiescing").
    const bool kept_off = sealed.contains(inode_at(place.path)) || sealed.contains(inode_at(place.partner));
    const bool may = !kept_off && place.path != place.partner;
    const int result = may ? attack.move->make(place, kept) : EPERM;
    struct stat made {};
    if (::lstat(place.path.c_str(), &made) == 0) board_->mode = made.st_mode;
    board_->node = made.st_ino;
    board_->parent_node = inode_at(attack.move->trace == Trace::moved_parent ? kMovedName : parent_of(place.path));
    board_->result = result;
    (void)!::write(answer, "d", 1);
    (void)!::read(over, &go, 1);
    finish(kept);
    ::_exit(0);
  }

  [[noreturn]] void be_program(const Attack& attack, const std::string& victim, Arguments arguments, int ask,
                               int answer, const fs::path& said) const {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::alarm(kLimitSeconds);
    const int out = ::open(said.c_str(), O_CREAT | O_TRUNC | O_WRONLY, 0644);
    ::dup2(out, 1);
    ::dup2(out, 2);
    Arguments all = command({"-j", "1", "--backend", "syscall"});
    all.insert(all.end(), arguments.begin(), arguments.end());
    std::vector<char*> argv;
    for (std::string& argument : all) argv.push_back(argument.data());
    argv.push_back(nullptr);
    const int root = ::open(vserver(victim).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
    AttackingSeam seam(*board_, attack.move == nullptr ? 0 : attack.at_call, attack.where_it_works, root, ask, answer);
    sys::install_seam(&seam);
    const int code = cli::run(static_cast<int>(all.size()), argv.data());
    sys::install_seam(nullptr);
    std::fflush(nullptr);
    ::_exit(code);
  }

  // --- the oracle

  /// What must be so whatever anybody did: outside, the skel, the other vservers, and what lies in the store's rooms.
  struct Others {
    TreeSnapshot canary, bystander;
    std::map<std::string, TreeSnapshot> skel;
  };
  [[nodiscard]] Others look_at_others(const std::string& bystander) const {
    Others others{snapshot_tree(canary()), snapshot_tree(vserver(bystander)), {}};
    for (const char* part : {"global", "local", "static", "generations"})
      others.skel[part] = snapshot_tree(skel() / part);
    return others;
  }

  void expect_others_untouched(const Others& before, const std::string& bystander) const {
    const Others now = look_at_others(bystander);
    EXPECT_EQ(joined(compare_snapshots(before.canary, now.canary, {}, Identity::compared)), "") << "outside";
    for (const auto& [path, node] : before.canary)
      if (now.canary.contains(path)) {
        EXPECT_EQ(node.links, now.canary.at(path).links) << "outside: " << path;
      }
    EXPECT_EQ(joined(compare_snapshots(before.bystander, now.bystander, {}, Identity::compared)), "") << bystander;
    for (const auto& [part, tree] : before.skel)
      EXPECT_EQ(joined(compare_snapshots(tree, now.skel.at(part), {}, Identity::compared)), "") << "skel " << part;
    for (const auto& [path, node] : now.skel.at("global"))
      if (S_ISREG(node.mode) && node.size > 0) {
        EXPECT_TRUE(is_immutable(skel() / "global" / path)) << path;
      }
  }

  void expect_nothing_left(const Attack& attack) const {
    const ProcessResult recovered = vskel({"recover"});
    EXPECT_EQ(recovered.code, 0) << recovered;
    EXPECT_EQ(inconsistencies(), "") << text_of(attack) << "\n" << recovered;
  }

  static bool is_same(const Node* a, const Node* b) {
    if (a == nullptr || b == nullptr) return a == b;
    return a->mode == b->mode && a->uid == b->uid && a->gid == b->gid && a->target == b->target &&
           a->content_digest == b->content_digest;
  }

  static bool is_below(const std::string& path, const std::string& directory) {
    return path == directory || path.starts_with(directory + "/");
  }

  /// What the attacker did is there, and every path that he left alone is before or after.
  void expect_allowed(const Attack& attack, const std::string& victim, const TreeSnapshot& before,
                      const TreeSnapshot& after) const {
    const TreeSnapshot now = snapshot_tree(vserver(victim));
    const auto at = [](const TreeSnapshot& tree, const std::string& path) {
      const auto found = tree.find(path);
      return found == tree.end() ? nullptr : &found->second;
    };
    std::set<std::string> paths;
    for (const auto* tree : {&before, &after, &now})
      for (const auto& [path, node] : *tree) paths.insert(path);
    const std::string parent = parent_of(board_->path);
    for (const std::string& path : paths) {
      const bool attacked = is_below(path, board_->path) || (parent != "." && is_below(path, parent)) ||
                            is_below(path, attack.partner) || is_below(board_->path, path) ||
                            path.find("attacker") != std::string::npos;
      if (attacked) continue;
      EXPECT_TRUE(is_same(at(now, path), at(before, path)) || is_same(at(now, path), at(after, path)))
          << path << " is neither before nor after";
    }
    std::set<std::string> contents;
    for (const auto* tree : {&before, &after})
      for (const auto& [path, node] : *tree) contents.insert(node.content_digest);
    for (const auto& [path, node] : now)
      if (S_ISREG(node.mode) && !contents.contains(node.content_digest)) {
        EXPECT_TRUE(node.size == 0 || read_file(vserver(victim) / path).find(kMark) != std::string::npos)
            << path << " holds what nobody wrote";
      }
    if (board_->result == 0) expect_trace(attack, vserver(victim));
  }

  void expect_trace(const Attack& attack, const fs::path& tree) const {
    const fs::path path = tree / board_->path, parent = (tree / parent_of(board_->path)).lexically_normal();
    struct stat status {};
    const bool there = ::lstat(path.c_str(), &status) == 0;
    const auto content = [&](const fs::path& of) {
      return fs::is_regular_file(fs::symlink_status(of)) ? read_file(of) : "(no file)";
    };
    switch (attack.move->trace) {
      case Trace::nothing:
        break;
      case Trace::node:
        // An empty directory is removed by name where the skel's directory goes: nothing is lost with it.
        if (!there && S_ISDIR(board_->mode)) break;
        EXPECT_TRUE(there && status.st_ino == board_->node) << path << " is not what the tenant put there";
        break;
      case Trace::moved_parent:
        EXPECT_EQ(inode_at(tree / kMovedName), board_->parent_node);
        break;
      case Trace::parent_node:
        EXPECT_EQ(inode_at(parent), board_->parent_node) << parent;
        break;
      case Trace::absent:
        EXPECT_FALSE(there) << path << " was deleted by the tenant";
        break;
      case Trace::mark:
        EXPECT_NE(content(path).find(kMark), std::string::npos)
            << "lost in " << path << ": " << content(path).substr(0, 80);
        break;
      case Trace::emptied:
        EXPECT_EQ(content(path), "") << path;
        break;
      case Trace::mode:
        EXPECT_TRUE(there && (status.st_mode & 07777) == kAttackerMode) << path;
        break;
      case Trace::owner:
        EXPECT_TRUE(there && status.st_uid == kAttackerOwner) << path;
        break;
      case Trace::xattr:
        EXPECT_GE(::lgetxattr(path.c_str(), "user.attacker", nullptr, 0), 0) << path;
        break;
      case Trace::file_beside:
        EXPECT_EQ(content(path.string() + kBesideSuffix), kMark) << "lost beside " << path;
        break;
    }
  }

  /// Where to attack, as a run without attack has shown it.
  struct Calls {
    int all;
    std::vector<int> renames;
  };
  [[nodiscard]] Calls calls_counted() const {
    return {board_->calls, {board_->rename_at, board_->rename_at + board_->renames}};
  }

  /// One attack of all that there are.
  [[nodiscard]] static Attack draw(std::mt19937& random, const Calls& calls) {
    const auto below = [&](std::size_t end) { return static_cast<int>(random() % end); };
    Attack attack;
    attack.move = &all_moves()[random() % all_moves().size()];
    attack.at_call = calls.renames.empty() || below(3) == 0
                         ? 1 + below(static_cast<std::size_t>(calls.all))
                         : std::clamp(calls.renames[random() % calls.renames.size()] - 6 + below(10), 1, calls.all);
    attack.where_it_works = below(4) != 0;
    attack.path = kOfInterest[random() % kOfInterest.size()];
    do attack.partner = kOfInterest[random() % kOfInterest.size()];
    while (attack.partner == attack.path);
    return attack;
  }

  void expect_ended(const Ended& ended) {
    EXPECT_EQ(ended.signal, 0) << ended.said;
    EXPECT_TRUE(ended.code == 0 || ended.code == 1 || ended.code == 3) << ended.code << "\n" << ended.said;
    EXPECT_LT(ended.took, std::chrono::seconds(10)) << "held up";
    made_ += board_->result == 0 ? 1 : 0;
    ++codes_[ended.code];
  }

  void tell(const char* what, int runs) const {
    std::printf("%s: %d runs, %d moves made; codes", what, runs, made_);
    for (const auto& [code, count] : codes_) std::printf(" %d: %d", code, count);
    std::printf("\n");
    EXPECT_GT(made_, runs / 8) << "hardly a move was made";
  }

  void attack_relinks(const std::string& share, int runs, unsigned seed) {
    std::mt19937 random(seed);
    runs *= static_cast<int>(long_factor(40));
    constexpr int kBatch = 20;
    for (int done = 0; done < runs;) {
      const auto names = make_vservers(kBatch + 2, share);
      update();
      if (HasFatalFailure()) return;
      const std::string &reference = names[0], &bystander = names[1];
      const Ended plain = run_attacked({}, reference, {"relink", "base", reference});
      ASSERT_EQ(plain.code, 0) << plain.said;
      const Calls calls = calls_counted();
      const TreeSnapshot after = snapshot_tree(vserver(reference));
      for (std::size_t i = 2; i < names.size() && done < runs; ++i, ++done) {
        const Attack attack = draw(random, calls);
        SCOPED_TRACE(text_of(attack) + ", generation " + std::to_string(generation_));
        const TreeSnapshot before = snapshot_tree(vserver(names[i]));
        const Others others = look_at_others(bystander);
        const Ended ended = run_attacked(attack, names[i], {"relink", "base", names[i]});
        SCOPED_TRACE(std::string("before ") + board_->call + ", path " + board_->path + ", result " +
                     std::to_string(board_->result) + "\n" + ended.said);
        expect_ended(ended);
        expect_nothing_left(attack);
        expect_others_untouched(others, bystander);
        expect_allowed(attack, names[i], before, after);
        if (HasFatalFailure()) return;
      }
      remove(names);
    }
    tell(("relink " + share).c_str(), runs);
  }

  /// The same of commands that do not bring the victim anywhere: what became of it is for `look` to say.
  void attack_others(const char* what, unsigned seed, const std::function<Arguments(const std::string&)>& request,
                     const std::function<void(const std::string&)>& look) {
    std::mt19937 random(seed);
    const int runs = runs_on(GetParam()) / 2 * static_cast<int>(long_factor(40));
    for (int done = 0; done < runs;) {
      const auto names = make_vservers(12, worlds_ % 2 == 0 ? "hardlink" : "copy");
      if (HasFatalFailure()) return;
      const std::string& bystander = names[0];
      const Ended plain = run_attacked({}, names[1], request(names[1]));
      ASSERT_EQ(plain.code, 0) << plain.said;
      const Calls calls = calls_counted();
      look(names[1]);
      for (std::size_t i = 2; i < names.size() && done < runs; ++i, ++done) {
        const Attack attack = draw(random, calls);
        SCOPED_TRACE(text_of(attack));
        const Others others = look_at_others(bystander);
        const Ended ended = run_attacked(attack, names[i], request(names[i]));
        SCOPED_TRACE(std::string("before ") + board_->call + ", path " + board_->path + ", result " +
                     std::to_string(board_->result) + "\n" + ended.said);
        expect_ended(ended);
        expect_nothing_left(attack);
        expect_others_untouched(others, bystander);
        look(names[i]);
        if (HasFatalFailure()) return;
      }
      remove(names);
    }
    tell(what, runs);
  }

  /// What a vserver that was just made has otherwise than the skel.
  [[nodiscard]] std::string differences_of_new(const std::string& name) const {
    const TreeSnapshot tree = snapshot_tree(vserver(name));
    std::string text;
    for (const char* part : {"global", "local"})
      for (const auto& [path, node] : snapshot_tree(skel() / part)) {
        const auto mine = tree.find(path);
        if (!is_same(mine == tree.end() ? nullptr : &mine->second, &node)) text += path + "\n";
      }
    return text;
  }

  void remove(const std::vector<std::string>& names) const {
    Arguments arguments = {"remove-vs", "--yes"};
    for (const std::string& name : names)
      if (fs::exists(vserver(name))) arguments.push_back(name);
    if (arguments.size() == 2) return;
    const ProcessResult removed = vskel(arguments);
    ASSERT_EQ(removed.code, 0) << removed;
  }

  Board* board_ = nullptr;
  int generation_ = 0, worlds_ = 0, made_ = 0;
  std::map<int, int> codes_;
};

TEST_P(InterleaveTest, RelinkOfCopies) { attack_relinks("copy", runs_on(GetParam()), 1); }

// No lease is asked about these: at every call of a step, from its first look to the exchange, one is changed.
TEST_P(InterleaveTest, MetadataChangedWhileAFileIsReplacedStays) {
  constexpr int kCallsOfAStep = 24;
  for (const char* name : {"setxattr", "chmod", "chown"}) {
    const auto move = std::ranges::find(all_moves(), std::string_view(name), &Move::name);
    const auto names = make_vservers(kCallsOfAStep + 2, "copy");
    update();
    ASSERT_EQ(run_attacked({}, names[0], {"relink", "base", names[0]}).code, 0);
    const auto begin = std::begin(board_->renamed), end = begin + board_->renames;
    const auto exchange =
        std::find_if(begin, end, [](const char* path) { return std::string_view(path).ends_with("/etc/updated"); });
    ASSERT_NE(exchange, end);
    const int last = board_->rename_at[exchange - begin];
    for (int back = 0; back <= kCallsOfAStep; ++back) {
      Attack attack{&*move, last - back, false, "etc/updated", "etc/own"};
      SCOPED_TRACE(text_of(attack) + ", " + std::to_string(back) + " calls before the exchange");
      const std::string& victim = names[static_cast<std::size_t>(back) + 1];
      expect_ended(run_attacked(attack, victim, {"relink", "base", victim}));
      ASSERT_EQ(board_->result, 0);
      expect_trace(attack, vserver(victim));
      expect_nothing_left(attack);
    }
    remove(names);
  }
}

TEST_P(InterleaveTest, RelinkOfHardLinks) { attack_relinks("hardlink", runs_on(GetParam()), 2); }

TEST_P(InterleaveTest, RelinkOfReflinks) {
  if (has_reflinks(GetParam())) attack_relinks("reflink", runs_on(GetParam()), 3);
}

// Removed or not, whole: what was put into the tree meanwhile goes with it, and what is mounted in it is not entered.
TEST_P(InterleaveTest, Remove) {
  attack_others(
      "remove-vs", 4,
      [](const std::string& victim) {
        return Arguments{"remove-vs", victim, "--yes"};
      },
      [&](const std::string& victim) {
        const bool there = fs::exists(vserver(victim));
        EXPECT_EQ(fs::exists(config(victim)), there);
        EXPECT_EQ(fs::exists(record(victim)), there);
      });
}

TEST_P(InterleaveTest, Verify) {
  attack_others(
      "verify", 5, [](const std::string&) { return Arguments{"verify"}; },
      [&](const std::string& victim) { EXPECT_TRUE(fs::exists(vserver(victim))); });
}

// What is attacked is a vserver that is public already; the new one comes out as if nothing were.
TEST_P(InterleaveTest, Create) {
  int number = 0;
  const auto name = [&] { return "new" + std::to_string(number); };
  attack_others(
      "create-vs", 6,
      [&](const std::string&) {
        ++number;
        return Arguments{"create-vs", "base", name(), name() + ".example.com",
                         "10.200." + std::to_string(number / 250) + "." + std::to_string(1 + number % 250)};
      },
      [&](const std::string&) {
        EXPECT_EQ(differences_of_new(name()), "");
        remove({name()});
      });
}

INSTANTIATE_TEST_SUITE_P(On, InterleaveTest, kAllFileSystems, kParameterName);

}  // namespace
}  // namespace vskel::test
