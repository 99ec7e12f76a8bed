// Read with getline: a terminal gives whole lines, and nothing after the answer belongs to us.

#include "cli/prompt.h"

#include <cstdio>
#include <iostream>

namespace vskel::cli {

Result<std::string> ask_line(const std::string& question) {
  std::fprintf(stderr, "%s: ", question.c_str());
  std::string line;
  if (!std::getline(std::cin, line)) {
    std::fputc('\n', stderr);
    return refuse("ask for", question, "no answer");
  }
  const std::size_t first = line.find_first_not_of(" \t\r");
  if (first == line.npos) return std::string();
  return line.substr(first, line.find_last_not_of(" \t\r") - first + 1);
}

bool confirm(const std::string& question) {
  const Result<std::string> answer = ask_line(question + " [y/N]");
  return answer && (*answer == "y" || *answer == "Y" || *answer == "yes" || *answer == "Yes");
}

}  // namespace vskel::cli
