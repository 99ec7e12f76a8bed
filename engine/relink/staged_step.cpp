#include "engine/relink/staged_step.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <nlohmann/json.hpp>
#include <span>
#include <type_traits>

#include "engine/content/hash.h"
#include "engine/model/whole_number.h"
#include "engine/tree/relative_path.h"

namespace vskel {

namespace {

/// One JSON object, appended to a text: fifty thousand of them are made in a run of relink, and a document for each
/// would cost as much as the system calls of its step.
class ObjectWriter {
 public:
  explicit ObjectWriter(std::string& out) : out_(out) { out_.push_back('{'); }
  ObjectWriter(const ObjectWriter&) = delete;
  ObjectWriter& operator=(const ObjectWriter&) = delete;
  ~ObjectWriter() { out_.push_back('}'); }

  /// Numbers, booleans and enumerations, as numbers.
  template <class Value>
  requires std::is_integral_v<Value> || std::is_enum_v<Value>
  void add(std::string_view key, Value value) {
    add_key(key);
    if constexpr (std::is_same_v<Value, bool>) {
      out_.append(value ? "true" : "false");
    } else {
      std::array<char, 24> digits{};
      const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number_of(value)).ptr;
      out_.append(digits.data(), end);
    }
  }
  /// Text as encode_path() gives it: of what JSON has escapes for only the backslash is in it.
  void add(std::string_view key, std::string_view encoded) {
    add_key(key);
    out_.push_back('"');
    for (const char at : encoded) out_.append(at == '\\' ? 2 : 1, at);
    out_.push_back('"');
  }
  std::string& add_object(std::string_view key) {
    add_key(key);
    return out_;
  }

 private:
  template <class Value>
  static auto number_of(Value value) {
    if constexpr (std::is_enum_v<Value>)
      return static_cast<unsigned>(value);
    else
      return value;
  }
  void add_key(std::string_view key) {
    if (out_.back() != '{') out_.push_back(',');
    out_.append("\"").append(key).append("\":");
  }
  std::string& out_;
};

void write(std::string& out, const Identity& identity) {
  ObjectWriter object(out);
  object.add("type", identity.type);
  object.add("inode", identity.inode);
  object.add("size", identity.size);
  object.add("mode", identity.mode);
  object.add("uid", identity.uid);
  object.add("gid", identity.gid);
  object.add("s", identity.mtime.seconds);
  object.add("ns", identity.mtime.nanoseconds);
  object.add("sealed", identity.sealed);
}

void write(std::string& out, const StagedStep& step) {
  ObjectWriter object(out);
  object.add("kind", step.kind);
  object.add("path", encode_path(step.path));
  object.add("slot", step.slot);
  object.add("slot_inode", step.slot_inode);
  object.add("slot_sealed", step.slot_sealed);
  if (step.slot_mtime) object.add("slot_s", step.slot_mtime->seconds);
  if (step.slot_mtime) object.add("slot_ns", step.slot_mtime->nanoseconds);
  write(object.add_object("mine"), step.mine);
  object.add("proof", step.proof);
  object.add("part", step.part);
  object.add("kept_in", step.kept_in);
  object.add("source", encode_path(step.uses_global_file() ? step.global_path() : step.source));
  object.add("sha256", step.sha256);
  object.add("xattrs", step.xattrs);
  object.add("base_generation", step.base_generation);
  object.add("in_use", step.in_use);
  object.add("since_s", step.since.seconds);
  object.add("since_ns", step.since.nanoseconds);
  if (!step.bundle.empty()) object.add("bundle", encode_path(step.bundle));
  if (step.after_moves) object.add("after_moves", step.after_moves);
}

/// One of an enumeration's words, up to `last`.
template <class Word>
Word word_from(const nlohmann::json& json, Word last) {
  const auto number = whole_number<std::underlying_type_t<Word>>(json);
  if (number > static_cast<std::underlying_type_t<Word>>(last))
    throw nlohmann::json::type_error::create(302, json.dump() + " is no word that is known", &json);
  return static_cast<Word>(number);
}

Identity identity_from(const nlohmann::json& json) {
  Identity identity;
  identity.type = word_from(json.at("type"), sys::FileType::block);
  identity.inode = whole_number<std::uint64_t>(json.at("inode"));
  identity.size = whole_number<std::uint64_t>(json.at("size"));
  identity.mode = whole_number<std::uint32_t>(json.at("mode"));
  identity.uid = whole_number<std::uint32_t>(json.at("uid"));
  identity.gid = whole_number<std::uint32_t>(json.at("gid"));
  identity.mtime = {whole_number<std::int64_t>(json.at("s")), whole_number<std::uint32_t>(json.at("ns"))};
  identity.sealed = json.at("sealed").get<bool>();
  return identity;
}

/// Throws nlohmann's exception where a field is missing or of another type.
StagedStep step_from(const nlohmann::json& json) {
  StagedStep step;
  step.kind = word_from(json.at("kind"), Step::Kind::renew);
  step.path = decode_path(json.at("path").get<std::string>()).value_or("");
  step.slot = json.at("slot").get<std::string>();
  step.slot_inode = whole_number<std::uint64_t>(json.at("slot_inode"));
  step.slot_sealed = json.at("slot_sealed").get<bool>();
  step.mine = identity_from(json.at("mine"));
  step.proof = word_from(json.at("proof"), Proof::digest);
  step.part = word_from(json.at("part"), Part::static_part);
  step.kept_in = whole_number<unsigned>(json.at("kept_in"));
  step.source = decode_path(json.at("source").get<std::string>()).value_or("");
  step.sha256 = json.at("sha256").get<std::string>();
  step.xattrs = json.value("xattrs", "");  // a step of an earlier version says nothing of them
  step.base_generation = whole_number<unsigned>(json.at("base_generation"));
  step.in_use = json.at("in_use").get<bool>();
  step.since = {whole_number<std::int64_t>(json.at("since_s")), whole_number<std::uint32_t>(json.at("since_ns"))};
  // None of these is in a step of version 0.1.
  if (json.contains("slot_s"))
    step.slot_mtime = {whole_number<std::int64_t>(json.at("slot_s")), whole_number<std::uint32_t>(json.at("slot_ns"))};
  step.bundle = decode_path(json.value("bundle", "")).value_or("");
  step.after_moves = json.value("after_moves", false);
  return step;
}

}  // namespace

std::string digest_of_names(std::vector<std::string> names) {
  std::ranges::sort(names);
  std::string text;
  for (const std::string& name : names) text.append(name).push_back('/');
  return hex_of(hash_bytes(std::as_bytes(std::span(text)), WithSha256::no).xxh128);
}

std::string xattrs_word(const std::optional<Hash128>& xattrs) { return xattrs ? hex_of(*xattrs) : "-"; }

void write_step(std::string& out, const StagedStep& step) {
  write(out, step);
  out.push_back('\n');
}

Result<> read_steps(std::string_view text, const std::string& source, const StepSink& sink) {
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    const auto bad = [&](const std::string& reason) {
      return fail("read steps", source + ":" + std::to_string(number), reason);
    };
    const auto json = nlohmann::json::parse(line, nullptr, false);
    if (!json.is_object()) return bad("not a JSON object");
    StagedStep step;
    try {
      step = step_from(json);
    } catch (const nlohmann::json::exception& error) {
      return bad(error.what());
    }
    if (!is_relative_path(step.path) || !Name::check(step.slot)) return bad("not a step");
    if (!step.source.empty() && !is_relative_path(step.source)) return bad("its source is no path");
    if (!step.bundle.empty() && !is_relative_path(step.bundle)) return bad("its bundle is no path");
    if (step.kind == Step::Kind::move && step.source.empty()) return bad("moves nowhere");
    if (step.links_when_carried_out() && step.source.empty()) return bad("links nothing");
    if (step.uses_global_file() && step.source == step.path) step.source.clear();
    TRY(sink(std::move(step)));
  }
  return {};
}

}  // namespace vskel
