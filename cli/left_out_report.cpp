#include "cli/left_out_report.h"

namespace vskel::cli {

Json left_out_json(const std::vector<LeftOut>& left_out) {
  Json out = Json::array();
  for (const LeftOut& one : left_out)
    out.push_back({{"path", one.pattern}, {"files", one.files}, {"bytes", one.bytes}});
  return out;
}

void tell_left_out(Output& output, const std::vector<LeftOut>& left_out) {
  for (const LeftOut& one : left_out)
    output.text("  left out " + safe_line(one.pattern) + ": " + counted(one.files, "file") + ", " +
                human_bytes(one.bytes) + "\n");
}

}  // namespace vskel::cli
