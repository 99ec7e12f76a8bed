#include "cli/generation_report.h"

#include "cli/left_out_report.h"

namespace vskel::cli {

namespace {

constexpr std::array kPartOrder{Part::global_part, Part::local_part, Part::static_part};

Json counts_json(const PartChanges& changes) {
  return {{"changed", changes.changed},
          {"added", changes.added},
          {"removed", changes.removed},
          {"unchanged", changes.unchanged}};
}

void tell_list(Output& output, const std::string& title, const std::vector<std::string>& lines) {
  if (lines.empty()) return;
  output.text(title + "\n");
  for (const std::string& line : lines) output.text("  " + safe_line(line) + "\n");
}

void tell_accounts(Output& output, const std::vector<std::string>& lines) {
  for (const std::string& line : lines) output.text("  accounts: " + safe_line(line) + "\n");
}

}  // namespace

Json generation_json(const GenerationReport& report) {
  Json fields{{"skel", report.skel}, {"generation", report.generation}};
  fields.update(counts_json(report.all()));
  fields["elapsed_s"] = report.elapsed_s;
  for (const Part part : kPartOrder)
    fields["parts"][std::string(part_name(part))] = counts_json(report.parts.at(static_cast<std::size_t>(part)));
  fields["accounts"] = report.accounts;
  fields["moved"] = report.moved;
  fields["ambiguous"] = report.ambiguous;
  fields["set_aside"] = report.set_aside;
  fields["left_out"] = left_out_json(report.left_out);
  fields["look_at"] = report.look_at;
  return fields;
}

void tell_generation(Output& output, const GenerationReport& report, DryRun dry_run) {
  for (const std::string& note : report.notes) output.note(note);
  if (!report.new_generation) {
    output.text(report.skel + ": nothing was changed, generation " + std::to_string(report.generation) + " stays\n");
    tell_accounts(output, report.accounts);
    tell_left_out(output, report.left_out);
    tell_list(output, "Set aside:", report.set_aside);
    return;
  }
  output.text(report.skel + (dry_run == DryRun::yes ? ": would be generation " : ": generation ") +
              std::to_string(report.generation) + ", in " + human_seconds(report.elapsed_s) + "\n");
  for (const Part part : kPartOrder) {
    const PartChanges& changes = report.parts.at(static_cast<std::size_t>(part));
    if (changes.changed + changes.added + changes.removed == 0) continue;
    output.text("  " + std::string(part_name(part)) + ": " + std::to_string(changes.changed) + " changed, " +
                std::to_string(changes.added) + " added, " + std::to_string(changes.removed) + " removed, " +
                std::to_string(changes.unchanged) + " unchanged\n");
  }
  tell_accounts(output, report.accounts);
  tell_left_out(output, report.left_out);
  tell_list(output, "Moved between parts (see the skel's layout):", report.moved);
  tell_list(output, "By rules that may be in the wrong order:", report.ambiguous);
  tell_list(output, "Set aside:", report.set_aside);
  tell_list(output, "Left over, and worth a look before vservers get it:", report.look_at);
}

}  // namespace vskel::cli
