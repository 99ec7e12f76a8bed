// A step of a plan as it is staged: everything that is needed to carry it out, or to go on with it after a crash,
// without the plan. One JSON object a line, in staging/ID/VSERVER/steps; what they move lies in slots (slots.h).
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/relink/plan.h"

namespace vskel {

struct StagedStep {
  Step::Kind kind = Step::Kind::put_over;
  std::string path;              ///< relative to the vserver's root
  std::string slot;              ///< name in the slots: what comes, and after an exchange what was there
  std::uint64_t slot_inode = 0;  ///< of what comes: tells whether it has come
  bool slot_sealed = false;      ///< what comes is an inode of the skel's, under its seal
  std::optional<sys::Time> slot_mtime;  ///< of a file that comes and that its tenant may write to
  Identity mine;                 ///< `sealed`: it is an inode of the skel's. Of set_times: its mtime is what is to be
  Proof proof = Proof::inode;
  Part part = Part::global_part;      ///< where the base's file stands, for Proof::base
  unsigned kept_in = 0;               ///< likewise
  std::string source;                 ///< of a move, where to; else see global_path()
  std::string sha256;                 ///< hex; for Proof::digest. Of set_times: digest_of_names() of what it is to hold
  std::string xattrs;                 ///< what the file's may be, of what is replaced or removed: see xattrs_word()
  unsigned base_generation = 0;       ///< goes into the record if the step is not carried out
  bool in_use = false;                ///< to be tried last
  sys::Time since;                    ///< before the vserver was looked at; for a directory with all below it
  bool compared_under_lease = false;  ///< as in Step; not written down: who goes on after a crash compares again

  std::string bundle;        ///< all whose steps are carried out or none is; "": none
  bool after_moves = false;  ///< as in Step

  [[nodiscard]] bool is_of_directory() const {
    return kind == Step::Kind::remove_dir || kind == Step::Kind::set_metadata || kind == Step::Kind::set_times ||
           kind == Step::Kind::renew;
  }
  [[nodiscard]] bool uses_global_file() const { return kind == Step::Kind::share_extents || links_when_carried_out(); }
  /// Of the file that is linked, or whose extents are to be shared: mostly the step's own path, which is kept once.
  [[nodiscard]] const std::string& global_path() const { return source.empty() ? path : source; }
  /// An inode of the skel's takes the place of a file: the slot is empty until then.
  [[nodiscard]] bool links_when_carried_out() const { return kind == Step::Kind::put_over && slot_sealed; }
};

/// A file's extended attributes as one word of StagedStep::xattrs, which has them with '|' between: the hash in hex,
/// "-" for none.
[[nodiscard]] std::string xattrs_word(const std::optional<Hash128>& xattrs);

/// Stands for the names in a directory, in whatever order they are given.
[[nodiscard]] std::string digest_of_names(std::vector<std::string> names);

using StepSink = std::function<Result<void>(StagedStep step)>;
/// Gives all steps of a vserver to a sink, in their order, and each time anew: only what a plan or a file says of them
/// is kept in memory. Ends with the sink's error.
using StepSource = std::function<Result<void>(const StepSink& sink)>;

/// Adds the line of one step to a text.
void write_step(std::string& out, const StagedStep& step);
/// The steps of such a text. An error of its own names `source` and the line.
[[nodiscard]] Result<> read_steps(std::string_view text, const std::string& source, const StepSink& sink);

}  // namespace vskel
