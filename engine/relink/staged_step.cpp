#include "engine/relink/staged_step.h"

#include <nlohmann/json.hpp>

namespace vskel {

namespace {

nlohmann::json json_of(const Identity& identity) {
  return {{"type", identity.type},       {"inode", identity.inode},
          {"size", identity.size},       {"mode", identity.mode},
          {"uid", identity.uid},         {"gid", identity.gid},
          {"s", identity.mtime.seconds}, {"ns", identity.mtime.nanoseconds},
          {"sealed", identity.sealed}};
}

Identity identity_from(const nlohmann::json& json) {
  Identity identity;
  identity.type = json.at("type").get<sys::FileType>();
  identity.inode = json.at("inode").get<std::uint64_t>();
  identity.size = json.at("size").get<std::uint64_t>();
  identity.mode = json.at("mode").get<std::uint32_t>();
  identity.uid = json.at("uid").get<std::uint32_t>();
  identity.gid = json.at("gid").get<std::uint32_t>();
  identity.mtime = {json.at("s").get<std::int64_t>(), json.at("ns").get<std::uint32_t>()};
  identity.sealed = json.at("sealed").get<bool>();
  return identity;
}

/// Throws nlohmann's exception where a field is missing or of another type.
StagedStep step_from(const nlohmann::json& json) {
  StagedStep step;
  step.kind = json.at("kind").get<Step::Kind>();
  step.path = decode_path(json.at("path").get<std::string>()).value_or("");
  step.slot = json.at("slot").get<std::string>();
  step.slot_inode = json.at("slot_inode").get<std::uint64_t>();
  step.slot_sealed = json.at("slot_sealed").get<bool>();
  step.mine = identity_from(json.at("mine"));
  step.proof = json.at("proof").get<Proof>();
  step.part = json.at("part").get<Part>();
  step.kept_in = json.at("kept_in").get<unsigned>();
  step.source = decode_path(json.at("source").get<std::string>()).value_or("");
  step.sha256 = json.at("sha256").get<std::string>();
  step.base_generation = json.at("base_generation").get<unsigned>();
  step.in_use = json.at("in_use").get<bool>();
  return step;
}

}  // namespace

std::string write_steps(const std::vector<StagedStep>& steps) {
  std::string out;
  for (const StagedStep& step : steps) {
    const nlohmann::json json{{"kind", step.kind},
                              {"path", encode_path(step.path)},
                              {"slot", step.slot},
                              {"slot_inode", step.slot_inode},
                              {"slot_sealed", step.slot_sealed},
                              {"mine", json_of(step.mine)},
                              {"proof", step.proof},
                              {"part", step.part},
                              {"kept_in", step.kept_in},
                              {"source", encode_path(step.source)},
                              {"sha256", step.sha256},
                              {"base_generation", step.base_generation},
                              {"in_use", step.in_use}};
    out.append(json.dump()).push_back('\n');
  }
  return out;
}

Result<std::vector<StagedStep>> read_steps(std::string_view text, const std::string& source) {
  std::vector<StagedStep> out;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    const auto bad = [&](const std::string& reason) {
      return fail("read steps", source + ":" + std::to_string(number), reason);
    };
    const auto json = nlohmann::json::parse(line, nullptr, false);
    if (!json.is_object()) return bad("not a JSON object");
    try {
      out.push_back(step_from(json));
    } catch (const nlohmann::json::exception& error) {
      return bad(error.what());
    }
    const StagedStep& step = out.back();
    if (step.path.empty() || !Name::check(step.slot) || step.kind > Step::Kind::set_metadata) return bad("not a step");
  }
  return out;
}

}  // namespace vskel
