// bench: what it prints and saves, and that nothing of it stays.
#include <signal.h>

#include <thread>

#include "tests/support/requirement.h"
#include "tests/system/vskel_test.h"

namespace vskel::test {
namespace {

class BenchTest : public VskelTest {
 protected:
  [[nodiscard]] std::vector<std::string> entries() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::recursive_directory_iterator(mount())) names.push_back(entry.path());
    std::ranges::sort(names);
    return names;
  }
};

TEST_P(BenchTest, MeasuresEverythingSavesWhatItRecommendsAndAutoFollows) {
  build_base();
  if (HasFatalFailure()) return;
  write_file(etc() / "vskel/vskel.toml", "# my own\njson = false\n");
  const std::vector<std::string> before = entries();
  const Json report = vskel_json({"bench", "--save"});
  EXPECT_EQ(entries(), before);
  EXPECT_EQ(report["file_system"], kParameterName(testing::TestParamInfo<FileSystem>(GetParam(), 0)));
  std::set<std::string> rows;
  for (const Json& row : report["results"]) {
    rows.insert(row["work"].get<std::string>() + " " + row["backend"].get<std::string>());
    EXPECT_GT(row["per_second"], 0) << row;
    if (row["backend"] != "raw") {
      EXPECT_GT(row["percent_of_raw"], 1) << row;
    }
  }
  std::set<std::string> expected;
  for (const char* work : {"walk", "stat", "link", "copy", "seal", "hash", "replace"})
    for (const char* backend : {"raw", "syscall"}) expected.insert(std::string(work) + " " + backend);
  for (const char* work : {"stat", "link", "copy", "hash", "replace"}) expected.insert(std::string(work) + " uring");
  if (has_reflinks(GetParam())) expected.insert({"clone raw", "clone syscall"});
  EXPECT_EQ(rows, expected);

  const std::string type = report["file_system"], backend = report["recommended"]["backend"];
  const std::string saved = read_file(etc() / "vskel/vskel.toml");
  EXPECT_TRUE(saved.starts_with("# my own\njson = false\n")) << saved;
  EXPECT_NE(saved.find("[backend]\n" + type + " = \"" + backend + "\"\n"), std::string::npos) << saved;
  EXPECT_EQ(vskel({"list"}).code, 0) << "the file is read again";
}

TEST_P(BenchTest, TheTableIsForPeople) {
  fs::create_directories(vservers());
  const ProcessResult result = vskel({"bench"});
  ASSERT_EQ(result.code, 0) << result;
  for (const char* word : {"WORK", "RAW", "OF RAW", "replace", "links by threads:", "recommended: --backend "})
    EXPECT_NE(result.out.find(word), std::string::npos) << word << "\n" << result;
  EXPECT_EQ(result.out.find("not here: clone") != std::string::npos, !has_reflinks(GetParam())) << result;
}

TEST_P(BenchTest, AnInterruptLeavesNothing) {
  fs::create_directories(vservers());
  const std::vector<std::string> before = entries();
  Arguments all = {"timeout", "--preserve-status", "--signal=INT", "0.3"};
  const Arguments own = command({"bench"});
  all.insert(all.end(), own.begin(), own.end());
  const ProcessResult result = run(all, {});
  EXPECT_EQ(result.code, 1) << result;
  EXPECT_EQ(entries(), before) << result;
}

TEST_P(BenchTest, WrongRequestsTouchNothing) {
  const std::vector<std::string> before = entries();
  EXPECT_EQ(vskel({"bench", "--dir", (mount() / "missing").string()}).code, 2);
  EXPECT_EQ(vskel({"bench", "--dir", ""}).code, 2);
  EXPECT_EQ(vskel({"bench", "more"}).code, 2);
  EXPECT_EQ(vskel({"bench", "--dry-run", "--dir", mount().string()}).code, 0);
  EXPECT_EQ(entries(), before);
}

INSTANTIATE_TEST_SUITE_P(On, BenchTest, kAllFileSystems, kParameterName);

/// Whether a run of create-vs enters a ring, by what the configuration file says of the file system.
using MeasuredBackendTest = VskelTest;

TEST_P(MeasuredBackendTest, AutoTakesWhatWasMeasuredForThisTypeOfFileSystem) {
  VSKEL_REQUIRE(has_program("strace") ? std::nullopt : std::optional<std::string>("needs strace"));
  build_base();
  if (HasFatalFailure()) return;
  const std::string type = kParameterName(testing::TestParamInfo<FileSystem>(GetParam(), 0));
  int number = 0;
  const auto enters_ring = [&](const std::string& settings) {
    write_file(etc() / "vskel/vskel.toml", settings);
    const std::string name = "web" + std::to_string(++number);
    const fs::path trace = mount() / ("trace." + name);
    Arguments all = {"strace", "-f", "-qqq", "-o", trace.string(), "-e", "trace=io_uring_enter"};
    const Arguments own = command(
        {"create-vs", "base", name, name + ".example.com", "192.0.2." + std::to_string(number), "--backend", "auto"});
    all.insert(all.end(), own.begin(), own.end());
    ProcessOptions options;
    options.environment["ASAN_OPTIONS"] = "detect_leaks=0";  // the leak checker cannot work under a tracer
    const ProcessResult result = run(all, options);
    EXPECT_EQ(result.code, 0) << result;
    return read_file(trace).find("io_uring_enter(") != std::string::npos;
  };
  EXPECT_TRUE(enters_ring("[backend]\n" + type + " = \"uring\"\n"));
  EXPECT_FALSE(enters_ring("[backend]\n" + type + " = \"syscall\"\nother = \"uring\"\n"));
  EXPECT_FALSE(enters_ring(""));
  write_file(etc() / "vskel/vskel.toml", "[backend]\n" + type + " = \"threads\"\n");
  EXPECT_EQ(vskel({"list"}).code, 2);
}

INSTANTIATE_TEST_SUITE_P(On, MeasuredBackendTest, kAllFileSystems, kParameterName);

}  // namespace
}  // namespace vskel::test
