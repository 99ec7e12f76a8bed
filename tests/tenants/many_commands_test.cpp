// Eight commands at once on two skels, some of them killed: afterwards the store is as if each had run or not, one
// after the other. And who waits for a lock, or does not want to. About 15 s.
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <memory>
#include <mutex>
#include <random>
#include <thread>

#include "tests/system/relink_fixture.h"
#include "tests/tenants/tenant.h"

namespace vskel::test {
namespace {

using std::chrono::steady_clock;
constexpr int kAtOnce = 8;
constexpr std::chrono::seconds kStressTime{11};
const std::vector<std::string> kSkels = {"a", "b"};
const std::vector<std::string> kPaths = {"usr/bin/which", "usr/share/which", "etc/which", "var/lib/which"};

class ManyCommandsTest : public RelinkTest {
 protected:
  void SetUp() override {
    RelinkTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    for (const std::string& name : kSkels) {
      for (const std::string& path : kPaths) put(root() / path, file(content(name, 0)));
      const ProcessResult built = vskel({"build-skel", name, "--from", root().string()});
      ASSERT_EQ(built.code, 0) << built;
    }
  }

  static std::string content(const std::string& name, int generation) {
    return "skel " + name + " generation " + std::to_string(generation) + "\n";
  }

  /// One of eight: command after command, a third of them killed somewhere.
  void work(unsigned seed, steady_clock::time_point end) {
    std::mt19937 random(seed);
    while (steady_clock::now() < end) {
      const bool to_be_killed = random() % 3 == 0;
      Process process(command(draw(random)));
      if (to_be_killed) {
        ::usleep(static_cast<useconds_t>(random() % 60'000));
        ::kill(process.pid(), SIGKILL);
      }
      const ProcessResult result = process.wait();
      const std::lock_guard guard(mutex_);
      ++(result.signal != 0 ? killed_ : result.code == 0 ? done_ : refused_);
      EXPECT_TRUE(result.signal == 0 || to_be_killed) << result;
      EXPECT_TRUE(result.code <= 3) << result;
    }
  }

  Arguments draw(std::mt19937& random) {
    const std::string of = kSkels[random() % kSkels.size()];
    const std::string number = std::to_string(random() % 5), name = of + number;
    switch (random() % 8) {
      case 0:
      case 1:
      case 2:
        return {"create-vs",
                of,
                name,
                name + ".example.com",
                "10.0." + std::string(of == "a" ? "1." : "2.") + number,
                "--share",
                random() % 2 == 0 ? "hardlink" : "copy"};
      case 3:
        return {"remove-vs", name, "--yes"};
      case 4:
        return {"relink", of};
      case 5:
        return {"verify"};
      case 6:
        return {"merge-skel", of};
      default:
        change_merged(of);
        return {"split-skel", of};
    }
  }

  /// What a package manager does between merge and split; nobody else does it in this skel.
  void change_merged(const std::string& of) {
    const std::lock_guard guard(mutex_);
    const fs::path merged = vservers() / ("tmp_skel_" + of);
    const int generation = generations_[of] + 1;
    for (const std::string& path : kPaths) {
      // Beside and over it: the merged tree may go meanwhile.
      const std::string beside = (merged / path).string() + ".new";
      std::ofstream stream(beside);
      stream << content(of, generation);
      stream.close();
      if (!stream || ::rename(beside.c_str(), (merged / path).c_str()) != 0) return;
    }
    generations_[of] = generation;
  }

  void expect_as_if_one_after_the_other() {
    const ProcessResult recovered = vskel({"recover"});
    ASSERT_EQ(recovered.code, 0) << recovered;
    const StoreSnapshot once = snapshot_store();
    ASSERT_EQ(vskel({"recover"}).code, 0);
    EXPECT_EQ(changes_since(once), "") << "recover changed something the second time";
    for (const char* room : {"journal", "staging", "trash", "quarantine"})
      EXPECT_EQ(names_in(vservers() / ".vskel" / room), std::set<std::string>{}) << "left in " << room;
    const ProcessResult verified = vskel({"verify"});
    EXPECT_EQ(verified.code, 0) << verified;
    expect_all_parts();
    for (const std::string& of : kSkels) {
      if (fs::exists(vservers() / ("tmp_skel_" + of))) {
        const ProcessResult split = vskel({"split-skel", of});
        EXPECT_EQ(split.code, 0) << split;
      }
      expect_vservers_of(of);
    }
    expect_all_parts();
  }

  /// A vserver has a configuration, a record of one skel and a context, or none of them.
  void expect_all_parts() const {
    std::set<std::string> roots, configurations, records, contexts;
    for (const std::string& name : names_in(vservers()))
      if (!name.starts_with(".") && !name.starts_with("tmp_skel_")) roots.insert(name);
    for (const std::string& name : names_in(etc()))
      if (name.ends_with(".conf")) configurations.insert(name.substr(0, name.size() - 5));
    for (const std::string& of : kSkels)
      for (const std::string& name : names_in(skel(of) / "instances"))
        EXPECT_TRUE(records.insert(name.substr(0, name.size() - 5)).second) << name << ": two records";
    for (const std::string& id : names_in(etc() / "contexts"))
      if (id != "nextid") {
        EXPECT_TRUE(contexts.insert(fs::read_symlink(etc() / "contexts" / id).filename()).second) << id << ": a second";
      }
    EXPECT_EQ(configurations, roots);
    EXPECT_EQ(records, roots);
    EXPECT_EQ(contexts, roots);
  }

  /// Every path is of a generation that the skel had, and one relink makes all the newest.
  void expect_vservers_of(const std::string& of) {
    const auto vservers_here = [&] {
      std::set<std::string> names;
      for (const std::string& name : names_in(skel(of) / "instances")) names.insert(name.substr(0, name.size() - 5));
      return names;
    };
    for (const std::string& name : vservers_here())
      for (const std::string& path : kPaths) {
        const std::string held = read_file(vserver(name) / path);
        bool known = false;
        for (int generation = 0; generation <= generations_[of] + 1; ++generation)
          known = known || held == content(of, generation);
        EXPECT_TRUE(known) << name << "/" << path << ": " << held;
      }
    const ProcessResult relinked = vskel({"relink", of});
    EXPECT_EQ(relinked.code, 0) << relinked;
    for (const std::string& name : vservers_here())
      for (const std::string& path : kPaths) {
        const bool global = fs::exists(skel(of) / "global" / path);
        EXPECT_EQ(read_file(vserver(name) / path), read_file(skel(of) / (global ? "global" : "local") / path))
            << name << "/" << path << "\n"
            << relinked;
      }
  }

  std::mutex mutex_;
  std::map<std::string, int> generations_;
  int done_ = 0, refused_ = 0, killed_ = 0;
};

TEST_P(ManyCommandsTest, EightAtOnceSomeKilled) {
  const auto end = steady_clock::now() + kStressTime * long_factor(60);
  std::vector<std::thread> workers;
  for (unsigned i = 0; i < kAtOnce; ++i) workers.emplace_back([this, i, end] { work(i + 1, end); });
  for (std::thread& worker : workers) worker.join();
  std::printf("%d done, %d refused, %d killed\n", done_, refused_, killed_);
  EXPECT_GT(done_, 20);
  EXPECT_GT(killed_, 5);
  expect_as_if_one_after_the_other();
}

TEST_P(ManyCommandsTest, NoWaitNamesWhoHoldsTheLock) {
  Process holder(command(
      {"create-vs", "a", "--count", "400", "--name", "w%d", "--fqdn", "%s.example.com", "--ip-from", "10.9.0.1"}));
  // Stopped once it is at work: not in the moment in which it writes its journal, for which everyone has to wait.
  const auto limit = steady_clock::now() + std::chrono::seconds(20);
  while (names_in(vservers() / ".vskel/staging").empty() && steady_clock::now() < limit) ::usleep(500);
  ::kill(holder.pid(), SIGSTOP);
  const ProcessResult refused = vskel({"--no-wait", "create-vs", "a", "w1", "w1.example.com", "10.9.0.1"});
  EXPECT_EQ(refused.code, 1) << refused;
  EXPECT_NE(refused.err.find(std::to_string(holder.pid())), std::string::npos) << refused;
  ::kill(holder.pid(), SIGCONT);
  const ProcessResult held = holder.wait();
  EXPECT_EQ(held.code, 0) << held;
}

INSTANTIATE_TEST_SUITE_P(On, ManyCommandsTest, kOneFileSystem, kParameterName);

}  // namespace
}  // namespace vskel::test
