#include "engine/vserver/record_tokens.h"

#include <algorithm>
#include <array>

namespace vskel {

namespace {

constexpr std::array<std::string_view, 7> kOfEveryVserver{"VS_NAME",    "VS_FQDN", "VS_IP",  "VS_CIDR",
                                                          "VS_CONTEXT", "VS_DIR",  "VS_SKEL"};

}  // namespace

TokenValues tokens_of(const Record& record, const std::string& vservers) {
  TokenValues tokens;
  for (const auto& [column, value] : record.columns) tokens["VS_" + column] = value;
  tokens["VS_NAME"] = record.name;
  if (!record.fqdn.empty()) tokens["VS_FQDN"] = record.fqdn;
  if (!record.ip.empty()) {
    tokens["VS_IP"] = record.ip.substr(0, record.ip.find('/'));
    tokens["VS_CIDR"] = record.ip;
  }
  if (record.context != 0) tokens["VS_CONTEXT"] = std::to_string(record.context);
  tokens["VS_DIR"] = vservers + "/" + record.name;
  tokens["VS_SKEL"] = record.skel;
  return tokens;
}

bool is_of_every_vserver(std::string_view token) {
  return std::ranges::find(kOfEveryVserver, token) != kOfEveryVserver.end();
}

}  // namespace vskel
