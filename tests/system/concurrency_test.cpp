// Two vskel at once: each request is done whole or not at all, and one name goes to one of them.
#include <algorithm>
#include <atomic>
#include <memory>
#include <thread>

#include "tests/system/vskel_test.h"

namespace vskel::test {
namespace {

class ConcurrencyTest : public VskelTest {
 protected:
  [[nodiscard]] std::vector<ProcessResult> all_at_once(const std::vector<Arguments>& requests) const {
    std::vector<std::unique_ptr<Process>> running;
    for (const Arguments& request : requests) running.push_back(std::make_unique<Process>(command(request)));
    std::vector<ProcessResult> results;
    for (const auto& process : running) results.push_back(process->wait());
    return results;
  }

  static long successes(const std::vector<ProcessResult>& results) {
    return std::ranges::count_if(results, [](const ProcessResult& result) { return result.code == 0; });
  }
};

TEST_P(ConcurrencyTest, DifferentNamesAreAllMade) {
  build_base();
  std::vector<Arguments> requests;
  for (int i = 1; i <= 6; ++i) {
    const std::string name = "web" + std::to_string(i);
    requests.push_back({"create-vs", "base", name, name + ".example.com", "192.0.2." + std::to_string(i)});
  }
  const auto results = all_at_once(requests);
  for (const ProcessResult& result : results) EXPECT_EQ(result.code, 0) << result;
  EXPECT_EQ(inconsistencies(), "");  // six contexts for six vservers among it
  EXPECT_EQ(names_in(skel() / "instances").size(), 6U);
  for (int i = 1; i <= 6; ++i) EXPECT_EQ(differences_from_source("web" + std::to_string(i)), "");
  EXPECT_EQ(vskel({"verify"}).code, 0);
}

TEST_P(ConcurrencyTest, OneNameGoesToExactlyOne) {
  build_base();
  const Arguments request = {"create-vs", "base", "web1", "web1.example.com", "192.0.2.1"};
  const auto results = all_at_once({request, request, request, request});
  EXPECT_EQ(successes(results), 1);
  for (const ProcessResult& result : results) {
    if (result.code != 0) {
      EXPECT_NE(result.err.find("web1"), std::string::npos) << result;
    }
  }
  EXPECT_EQ(inconsistencies(), "");
  EXPECT_EQ(differences_from_source("web1"), "");
}

TEST_P(ConcurrencyTest, OneSkelIsBuiltByExactlyOne) {
  const Arguments request = {"build-skel", "base", "--from", source().string()};
  EXPECT_EQ(successes(all_at_once({request, request})), 1);
  EXPECT_EQ(inconsistencies(), "");
  EXPECT_EQ(vskel({"verify"}).code, 0);
}

TEST_P(ConcurrencyTest, CreatingAndRemovingDoNotDisturbEachOther) {
  build_base();
  for (int i = 1; i <= 4; ++i) create("old" + std::to_string(i), "192.0.2." + std::to_string(i));
  std::vector<Arguments> requests;
  for (int i = 1; i <= 4; ++i) {
    const std::string name = "new" + std::to_string(i);
    requests.push_back({"create-vs", "base", name, name + ".example.com", "198.51.100." + std::to_string(i)});
    requests.push_back({"remove-vs", "old" + std::to_string(i), "--yes"});
  }
  for (const ProcessResult& result : all_at_once(requests)) EXPECT_EQ(result.code, 0) << result;
  EXPECT_EQ(inconsistencies(), "");
  for (int i = 1; i <= 4; ++i) EXPECT_EQ(differences_from_source("new" + std::to_string(i)), "");
  const ProcessResult verified = vskel({"verify"});
  EXPECT_EQ(verified.code, 0) << verified;
}

/// Who looks for tenants finds others of us between the fork of a shell and their exec, too.
TEST_P(ConcurrencyTest, WhoIsAboutToBecomeOneOfUsIsNoTenant) {
  constexpr int kTimes = 20, kAtOnce = 6;
  build_base();
  create("old", "192.0.2.1");
  std::atomic<bool> over{false};
  std::vector<std::thread> beginning;
  for (int i = 0; i < 2; ++i)
    beginning.emplace_back([&] {
      const std::vector<Arguments> requests(kAtOnce, {"show", "old"});
      while (!over) (void)all_at_once(requests);
    });
  for (int time = 0; time < kTimes && !HasFailure(); ++time) {
    const ProcessResult created = vskel({"create-vs", "base", "new", "new.example.com", "192.0.2.2"});
    EXPECT_EQ(created.code, 0) << created;
    const ProcessResult removed = vskel({"remove-vs", "new", "--yes"});
    EXPECT_EQ(removed.code, 0) << removed;
    EXPECT_EQ(removed.err.find("lift seals"), removed.err.npos) << removed;
  }
  over = true;
  for (std::thread& thread : beginning) thread.join();
  EXPECT_EQ(inconsistencies(), "");
}

TEST_P(ConcurrencyTest, RecoverLeavesRunningWorkAlone) {
  build_base();
  const auto results = all_at_once(
      {{"create-vs", "base", "--count", "20", "--name", "web%d", "--fqdn", "%s.example.com", "--ip-from", "10.0.0.1"},
       {"recover"},
       {"recover"},
       {"recover"}});
  for (const ProcessResult& result : results) EXPECT_EQ(result.code, 0) << result;
  EXPECT_EQ(names_in(skel() / "instances").size(), 20U);
  EXPECT_EQ(inconsistencies(), "");
}

INSTANTIATE_TEST_SUITE_P(On, ConcurrencyTest, kAllFileSystems, kParameterName);

}  // namespace
}  // namespace vskel::test
