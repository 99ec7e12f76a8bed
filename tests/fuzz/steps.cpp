#include <vector>

#include "engine/relink/staged_step.h"
#include "tests/fuzz/target.h"

namespace vskel::test::fuzz {

namespace {

Result<std::string> rewritten(std::string_view text) {
  std::string out;
  auto read = read_steps(text, "s", [&](StagedStep step) -> Result<> {
    must(is_safe_path(step.path), "a step's path leads nowhere else");
    must(is_safe_path(step.slot) && !step.slot.contains('/'), "a slot is a name");
    must(step.source.empty() || is_safe_path(step.source), "a source's path leads nowhere else");
    must(!step.links_when_carried_out() || !step.source.empty(), "what is linked has a source");
    must(step.kind <= Step::Kind::set_metadata && step.part <= Part::static_part, "words are known ones");
    write_step(out, step);
    return {};
  });
  if (!read) return std::unexpected(std::move(read).error());
  return out;
}

}  // namespace

void steps(std::string_view bytes) {
  const auto first = rewritten(bytes);
  if (!first) {
    must(first.error().path.starts_with("s:"), "an error names its line");
    return;
  }
  const auto second = rewritten(*first);
  must(second && *second == *first, "steps come back as they were");
}

}  // namespace vskel::test::fuzz
