#include "engine/vserver/record.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <nlohmann/json.hpp>
#include <optional>

#include "engine/manifest/manifest.h"
#include "engine/model/identity.h"
#include "engine/model/whole_number.h"
#include "engine/tree/relative_path.h"
#include "engine/vserver/contexts.h"

namespace vskel {

namespace {

constexpr std::array<std::string_view, 3> kShares{"hardlink", "reflink", "copy"};
constexpr std::array<std::string_view, 4> kSeals{"none", "immutable", "guard", "iunlink"};
constexpr std::array<std::string_view, 4> kStatuses{"ok", "failed", "pending", "skipped"};
constexpr unsigned kVersion = 1;

template <class Enum, std::size_t N>
std::optional<Enum> find_in(const std::array<std::string_view, N>& names, std::string_view text) {
  for (std::size_t at = 0; at < N; ++at)
    if (names[at] == text) return static_cast<Enum>(at);
  return std::nullopt;
}

bool is_utc_time(std::string_view text) {
  constexpr std::string_view kShape = "0000-00-00T00:00:00Z";
  const auto fits = [](char c, char shape) { return shape == '0' ? c >= '0' && c <= '9' : c == shape; };
  return std::ranges::equal(text, kShape, fits);
}

bool is_absolute_path(std::string_view text) {
  return text.starts_with('/') && text.size() < 4096 && text.find('\0') == text.npos;
}

bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

/// As a plugin's environment and the tokens of templates have it.
bool is_column(std::string_view name) {
  const auto letter = [](char c) { return c >= 'A' && c <= 'Z'; };
  const auto inner = [&](char c) { return letter(c) || (c >= '0' && c <= '9') || c == '_'; };
  return !name.empty() && letter(name[0]) && std::ranges::all_of(name, inner);
}

/// A refusal by a checked type, as an error of the file it stands in.
template <class T>
Result<> field(const Result<T>& parsed, const std::string& source) {
  if (parsed) return {};
  const Error& error = parsed.error();
  return fail("read record", source, error.operation + " '" + printable(error.path) + "': " + error.reason);
}

Result<> check_fields(const Record& record, const std::string& source) {
  TRY(field(VserverName::parse(record.name), source));
  TRY(field(SkelName::parse(record.skel), source));
  if (!record.fqdn.empty()) TRY(field(Fqdn::parse(record.fqdn), source));
  if (!record.ip.empty()) TRY(field(Address::parse(record.ip), source));
  const auto bad = [&](const std::string& why) { return fail("read record", source, why); };
  if (record.context != 0 && (record.context < 2 || record.context > kHighestContext))
    return bad("context " + std::to_string(record.context) + ": ids are 2 to " + std::to_string(kHighestContext));
  if (!record.config.empty() && !is_absolute_path(record.config))
    return bad("config '" + printable(record.config) + "': an absolute path is wanted");
  for (const auto& [column, value] : record.columns)
    if (!is_column(column) || std::ranges::any_of(value, is_control))
      return bad("column '" + printable(column) + "': a name [A-Z][A-Z0-9_]* and a line of text are wanted");
  if (!is_utc_time(record.created))
    return bad("created '" + printable(record.created) + "': a time like 2026-01-31T12:00:00Z is wanted");
  return {};
}

/// The fields of a record; what is missing or of another type throws nlohmann's exception, which read_record turns into
/// an error.
Record from_json(const nlohmann::json& json) {
  Record record;
  record.name = json.at("name").get<std::string>();
  record.fqdn = json.at("fqdn").get<std::string>();
  record.ip = json.at("ip").get<std::string>();
  record.skel = json.at("skel").get<std::string>();
  record.context = whole_number<std::uint32_t>(json.at("context"));
  record.config = json.at("config").get<std::string>();
  record.generation = whole_number<unsigned>(json.at("generation"));
  record.created = json.at("created").get<std::string>();
  record.columns = json.at("columns").get<std::map<std::string, std::string>>();
  return record;
}

using Numbers = std::map<std::uint32_t, std::uint32_t>;

/// A key of a map of numbers: as printf has it, and nothing else.
std::optional<std::uint32_t> account_number(const std::string& text) {
  std::uint32_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size() || std::to_string(number) != text) return std::nullopt;
  return number;
}

Result<Numbers> numbers_from(const nlohmann::json& ids, const char* kind, const std::string& source) {
  const auto bad = [&](const std::string& why) {
    return fail("read record", source, std::string("ids.") + kind + why);
  };
  const nlohmann::json json = ids.value(kind, nlohmann::json::object());
  if (!json.is_object()) return bad(": an object is wanted");
  if (json.size() > kMostMapped) return bad(": more than " + std::to_string(kMostMapped) + " numbers");
  Numbers out;
  for (const auto& pair : json.items()) {
    const auto from = account_number(pair.key());
    const auto to = whole_number<std::uint32_t>(pair.value());
    // Who could map a number to 0 would own what is root's.
    if (!from || *from == 0 || *from > kHighestId || to == 0 || to > kHighestId)
      return bad(" '" + printable(pair.key()) + "': numbers are 1 to " + std::to_string(kHighestId));
    out.emplace(*from, to);
  }
  return out;
}

nlohmann::ordered_json json_of(const Numbers& numbers) {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  for (const auto& [from, to] : numbers) json[std::to_string(from)] = to;
  return json;
}

}  // namespace

std::string_view share_name(Share share) { return kShares[static_cast<std::size_t>(share)]; }
std::string_view seal_name(SealKind seal) { return kSeals[static_cast<std::size_t>(seal)]; }
std::string_view plugin_status_name(PluginStatus status) { return kStatuses[static_cast<std::size_t>(status)]; }

Result<Share> parse_share(const std::string& text) {
  if (const auto share = find_in<Share>(kShares, text)) return *share;
  return refuse("share", text, "one of hardlink, reflink, copy");
}

Result<SealKind> parse_seal(const std::string& text) {
  if (const auto seal = find_in<SealKind>(kSeals, text)) return *seal;
  return refuse("seal", text, "one of iunlink, guard, immutable, none");
}

unsigned base_of(const Record& record, std::string_view path) {
  for (;;) {
    const auto found = record.bases.find(std::string(path));
    if (found != record.bases.end()) return found->second;
    if (path.empty()) return record.generation;
    path = parent_path(path);
  }
}

std::string write_record(const Record& record) {
  nlohmann::ordered_json json{{"version", kVersion},
                              {"name", record.name},
                              {"fqdn", record.fqdn},
                              {"ip", record.ip},
                              {"skel", record.skel},
                              {"context", record.context},
                              {"config", record.config},
                              {"generation", record.generation},
                              {"share", share_name(record.share)},
                              {"seal", seal_name(record.seal)},
                              {"created", record.created},
                              {"columns", record.columns},
                              {"plugins", nlohmann::ordered_json::array()}};
  for (const PluginOutcome& plugin : record.plugins)
    json["plugins"].push_back(
        {{"name", plugin.name}, {"status", plugin_status_name(plugin.status)}, {"reason", plugin.reason}});
  // A path is bytes and JSON is UTF-8: written as in a manifest.
  if (!record.bases.empty()) json["bases"] = nlohmann::ordered_json::object();
  for (const auto& [path, generation] : record.bases) json["bases"][encode_path(path)] = generation;
  if (!record.set_id.empty()) json["set_id"] = nlohmann::ordered_json::array();
  for (const std::string& path : record.set_id) json["set_id"].push_back(encode_path(path));
  if (!record.ids.empty()) json["ids"] = {{"uid", json_of(record.ids.uid)}, {"gid", json_of(record.ids.gid)}};
  return json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

Result<Record> read_record(std::string_view text, const std::string& source) {
  const auto bad = [&](const std::string& why) { return fail("read record", source, why); };
  const auto json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object()) return bad("not a JSON object");
  try {
    if (whole_number<unsigned>(json.at("version")) != kVersion)
      return bad("version " + json.at("version").dump() + " is not known");
    Record record = from_json(json);
    TRY(check_fields(record, source));
    const auto share = parse_share(json.at("share").get<std::string>());
    TRY(field(share, source));
    record.share = *share;
    const auto seal = parse_seal(json.at("seal").get<std::string>());
    TRY(field(seal, source));
    record.seal = *seal;
    const nlohmann::json bases = json.value("bases", nlohmann::json::object());
    if (!bases.is_object()) return bad("bases: an object is wanted");
    for (const auto& base : bases.items()) {
      auto path = decode_path(base.key());
      if (!path || !(path->empty() || is_relative_path(*path)))
        return bad("a path of bases is no relative path, encoded as in a manifest: " + base.key());
      record.bases.emplace(std::move(*path), whole_number<unsigned>(base.value()));
    }
    for (const auto& encoded : json.value("set_id", nlohmann::json::array())) {
      auto path = decode_path(encoded.get<std::string>());
      if (!path || !is_relative_path(*path))
        return bad("a path of set_id is no relative path, encoded as in a manifest: " + encoded.dump());
      record.set_id.insert(std::move(*path));
    }
    const nlohmann::json ids = json.value("ids", nlohmann::json::object());
    if (!ids.is_object()) return bad("ids: an object is wanted");
    record.ids.uid = TRY(numbers_from(ids, "uid", source));
    record.ids.gid = TRY(numbers_from(ids, "gid", source));
    for (const auto& plugin : json.at("plugins")) {
      const auto status = find_in<PluginStatus>(kStatuses, plugin.at("status").get<std::string>());
      if (!status) return bad("a plugin's status is not known");
      record.plugins.push_back(
          {plugin.at("name").get<std::string>(), *status, plugin.at("reason").get<std::string>(), {}});
    }
    return record;
  } catch (const nlohmann::json::exception& error) {
    return bad(error.what());
  }
}

}  // namespace vskel
