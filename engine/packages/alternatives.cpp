#include "engine/packages/alternatives.h"

#include <algorithm>
#include <charconv>
#include <vector>

namespace vskel {

namespace {

/// What a choice has for each of the alternative's links, by name; the own link is not among them.
struct Choice {
  int priority = 0;
  std::map<std::string, std::string> links;
  friend bool operator==(const Choice&, const Choice&) = default;
};

/// In the order of the file: of choices with one priority the first is the best.
template <class Value>
using Ordered = std::vector<std::pair<std::string, Value>>;

template <class Value>
const Value* find(const Ordered<Value>& all, const std::string& key) {
  const auto found = std::ranges::find(all, key, &std::pair<std::string, Value>::first);
  return found == all.end() ? nullptr : &found->second;
}

struct Alternative {
  bool manual = false;
  std::string link;              ///< that leads to kAlternativeLinks
  Ordered<std::string> further;  ///< names of links that go along -> what leads to them
  Ordered<Choice> choices;       ///< by path
};

/// dpkg's format (utils/update-alternatives.c, altdb_print): mode, link, pairs of name and link, an empty line, choices
/// of path, priority and a path for each name, an empty line.
class Reader {
 public:
  Reader(const std::string& name, std::string_view text) : name_(name), text_(text) {}

  Result<Alternative> run() {
    if (text_.size() > kMaxAlternative || text_.contains('\0')) return bad("a NUL byte, or larger than 1 MiB");
    Alternative out;
    const std::string_view mode = TRY(line());
    if (mode != "auto" && mode != "manual") return bad("it begins with auto or manual");
    out.manual = mode == "manual";
    out.link = TRY(line());
    for (std::string name{TRY(line())}; !name.empty(); name = TRY(line())) {
      if (name == name_ || name.contains('/') || name == "." || name == ".." || find(out.further, name) != nullptr)
        return bad("a link's name is there twice, or is none");
      out.further.emplace_back(std::move(name), TRY(line()));
    }
    for (std::string path{TRY(line())}; !path.empty(); path = TRY(line())) {
      Choice choice;
      const std::string_view number = TRY(line());
      const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), choice.priority);
      if (error != std::errc{} || end != number.data() + number.size()) return bad("a priority is a number");
      for (const auto& [further, link] : out.further)
        if (std::string target{TRY(line())}; !target.empty()) choice.links.emplace(further, std::move(target));
      if (find(out.choices, path) != nullptr) return bad("a choice is there twice");
      out.choices.emplace_back(std::move(path), std::move(choice));
    }
    if (!text_.empty()) return bad("it goes on after its end");
    return out;
  }

 private:
  [[nodiscard]] std::unexpected<Error> bad(const std::string& why) const {
    return fail("read alternative", "/" + std::string(kAlternatives) + "/" + name_, why);
  }
  Result<std::string_view> line() {
    const std::size_t end = text_.find('\n');
    if (end == text_.npos) return bad("it ends too early");
    const std::string_view line = text_.substr(0, end);
    text_.remove_prefix(end + 1);
    return line;
  }

  const std::string& name_;
  std::string_view text_;
};

std::string text_of(const Alternative& alternative) {
  std::string out = alternative.manual ? "manual\n" : "auto\n";
  out += alternative.link + "\n";
  for (const auto& [name, link] : alternative.further) out += name + "\n" + link + "\n";
  out += "\n";
  for (const auto& [path, choice] : alternative.choices) {
    out += path + "\n" + std::to_string(choice.priority) + "\n";
    for (const auto& [name, link] : alternative.further) {
      const auto target = choice.links.find(name);
      out += (target == choice.links.end() ? "" : target->second) + "\n";
    }
  }
  return out + "\n";
}

/// What only one side changed is as that has it; what both changed is the tenant's, and what theirs took away is gone:
/// it went with its package.
template <class Value>
Ordered<Value> merge(const Ordered<Value>& base, const Ordered<Value>& theirs, const Ordered<Value>& mine) {
  Ordered<Value> out;
  for (const auto& [key, own] : mine) {
    const Value *const was = find(base, key), *const next = find(theirs, key);
    if (was != nullptr && next == nullptr) continue;
    out.emplace_back(key, next != nullptr && was != nullptr && *was == own ? *next : own);
  }
  for (const auto& [key, next] : theirs)
    if (find(mine, key) == nullptr && find(base, key) == nullptr) out.emplace_back(key, next);
  return out;
}

std::string best_of(const Alternative& alternative) {
  return std::ranges::max_element(alternative.choices, {}, [](const auto& choice) { return choice.second.priority; })
      ->first;
}

}  // namespace

Result<MergedAlternative> merge_alternative(const std::string& name, const AlternativeSides& sides) {
  const auto read = [&name](const AlternativeSide& side) -> Result<Alternative> {
    return side.text ? Reader(name, *side.text).run() : Alternative{};
  };
  const Alternative base = TRY(read(sides.base)), theirs = TRY(read(sides.theirs)), mine = TRY(read(sides.mine));
  Alternative next;
  next.link = sides.theirs.text && base.link == mine.link ? theirs.link : mine.link;
  next.further = sides.theirs.text ? merge(base.further, theirs.further, mine.further) : mine.further;
  next.choices = merge(base.choices, theirs.choices, mine.choices);
  MergedAlternative out;
  // One that he led elsewhere by hand is his.
  const bool is_by_hand = !sides.mine.choice || find(mine.choices, *sides.mine.choice) == nullptr;
  if (next.choices.empty()) {
    if (is_by_hand) return out;
    out.links.emplace(name, std::nullopt);
    for (const auto& [further, link] : mine.further) out.links.emplace(further, std::nullopt);
    return out;
  }
  const bool as_base = mine.manual == base.manual && sides.mine.choice == sides.base.choice;
  const Alternative& says = as_base ? theirs : mine;
  const auto& choice = as_base ? sides.theirs.choice : sides.mine.choice;
  next.manual = says.manual && choice && find(next.choices, *choice) != nullptr;
  const std::string chosen = next.manual ? *choice : best_of(next);
  if (is_by_hand) next.manual = mine.manual;
  out.text = text_of(next);
  if (is_by_hand) return out;
  out.links.emplace(name, chosen);
  for (const auto& [further, link] : mine.further) out.links.emplace(further, std::nullopt);
  for (const auto& [further, target] : find(next.choices, chosen)->links) out.links.insert_or_assign(further, target);
  return out;
}

}  // namespace vskel
