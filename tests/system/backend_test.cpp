// --backend: the same results whatever issues the calls, and system calls where there is no io_uring.
#include "tests/support/requirement.h"
#include "tests/system/vskel_test.h"

namespace vskel::test {
namespace {

class BackendTest : public VskelTest {
 protected:
  void SetUp() override {
    VSKEL_REQUIRE(has_program("strace") ? std::nullopt : std::optional<std::string>("needs strace"));
    VskelTest::SetUp();
  }

  /// vskel where every attempt to get a ring ends with `error`, traced.
  [[nodiscard]] ProcessResult vskel_without_io_uring(const std::string& error, const Arguments& arguments) const {
    return vskel_injecting(":error=" + error, "io_uring_setup", arguments);
  }
};

TEST_P(BackendTest, WithoutIoUringSystemCallsDoTheWorkAndOneLineTells) {
  build_base();
  if (HasFatalFailure()) return;
  const Arguments web1 = {"create-vs", "base", "web1", "web1.example.com", "192.0.2.1", "--backend", "uring", "--seal", "immutable"};
  const Arguments web2 = {"-v", "create-vs", "base", "web2", "web2.example.com", "192.0.2.2", "--backend", "uring"};
  const ProcessResult silent = vskel_without_io_uring("EPERM", web1);
  EXPECT_EQ(silent.code, 0) << silent;
  EXPECT_EQ(silent.err, "");
  const ProcessResult told = vskel_without_io_uring("ENOSYS", web2);
  EXPECT_EQ(told.code, 0) << told;
  EXPECT_NE(told.err.find("io_uring"), std::string::npos) << told;
  EXPECT_NE(told.err.find("Function not implemented"), std::string::npos) << told;
  EXPECT_EQ(vskel({"verify"}).code, 0);
}

TEST_P(BackendTest, ARingIsUsedWhereItIsAskedForAndNotWhereSystemCallsAre) {
  build_base();
  if (HasFatalFailure()) return;
  const auto rings_of = [this](const std::string& backend) {
    const fs::path trace = mount() / ("trace." + backend);
    Arguments all = {"strace", "-f", "-qqq", "-o", trace.string(), "-e", "trace=io_uring_enter"};
    const Arguments own = command({"create-vs", "base", backend, backend + ".example.com",
                                   backend == "uring" ? "192.0.2.1" : "192.0.2.2", "--backend", backend});
    all.insert(all.end(), own.begin(), own.end());
    ProcessOptions options;
    options.environment["ASAN_OPTIONS"] = "detect_leaks=0";
    const ProcessResult result = run(all, options);
    EXPECT_EQ(result.code, 0) << result;
    return read_file(trace).find("io_uring_enter(") != std::string::npos;
  };
  EXPECT_TRUE(rings_of("uring"));
  EXPECT_FALSE(rings_of("syscall"));
}

INSTANTIATE_TEST_SUITE_P(On, BackendTest, kAllFileSystems, kParameterName);

}  // namespace
}  // namespace vskel::test
