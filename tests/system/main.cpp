#include <gtest/gtest.h>

#include "tests/support/own_processes.h"

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  if (!GTEST_FLAG_GET(list_tests)) vskel::test::enter_own_processes();
  return RUN_ALL_TESTS();
}
