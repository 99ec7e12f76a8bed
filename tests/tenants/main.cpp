#include <gtest/gtest.h>

#include "tests/support/own_processes.h"
#include "tests/system/vskel_test.h"

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  if (!GTEST_FLAG_GET(list_tests)) vskel::test::enter_own_processes();
  vskel::test::VskelTest::quiesce_all_by("freeze");
  return RUN_ALL_TESTS();
}
