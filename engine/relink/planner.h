// The planner of one vserver. It walks base, theirs and mine side by side; what becomes of a path is asked of the table
// (table.h), and goes to the steps (planned_steps.h), to the bases (moving_bases.h) and into the report.
//
// One class in files by what stands at a path: plan_directories.cpp walks, plan_files.cpp, plan_type_changes.cpp,
// plan_bundles.cpp, plan_package_lists.cpp and plan_alternatives.cpp plan; plan_accounts.cpp says beforehand whose the
// skel's files are in this vserver.
#pragma once

#include <array>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "engine/accounts/account_table.h"
#include "engine/accounts/follow.h"
#include "engine/relink/moving_bases.h"
#include "engine/relink/observe.h"
#include "engine/relink/own_file.h"
#include "engine/relink/owners.h"
#include "engine/relink/plan.h"
#include "engine/relink/planned_steps.h"
#include "engine/relink/three_sides.h"
#include "engine/tree/listing.h"

namespace vskel {

/// The account files of a vserver, as they are found.
using OwnAccountFiles = std::array<std::optional<OwnFile>, kAccountFiles>;

/// Where the skel's accounts are as they were, what else is known of numbers: a tenant may have given others since.
enum class MapIds : std::uint8_t { as_recorded, anew };

/// Good for one plan. Not thread-safe. Keeps references to what it is made with.
class Planner {
 public:
  Planner(const SkelView& view, const Record& record, const PlanOptions& options, Gate gate, MapIds map_ids);
  /// Plans for the vserver whose root is `root`.
  [[nodiscard]] Result<VserverPlan> run(const DirFd& root);

 private:
  // --- plan_accounts.cpp

  /// Users and groups, and with them the owners of all else.
  Result<> plan_accounts(const DirFd& root);
  [[nodiscard]] bool are_accounts_frozen() const;
  /// Into accounts_here_; what can't be taken apart is said in unreadable_.
  Result<> read_own_accounts(const DirFd& root);
  Result<> follow_changed_accounts(const Accounts* base, const DirFd& root);
  Result<> set_ids(IdMap ids);
  [[nodiscard]] OwnerNumbers owners_that_come() const;
  /// When all steps are known: are those there whose the files are that come, and with the number that is known?
  Result<> look_at_owners(const DirFd& root);
  void plan_account_file(AccountFile file, const std::string& bytes);
  void skip_for_accounts(std::string_view path, const std::string& why);
  /// When all else is planned: their base, where they do not follow.
  void settle_accounts();

  // --- plan_directories.cpp

  /// Plans all names below a directory that both sides go on with; gives how many entries stay in it when all is done.
  Result<std::size_t> plan_directory(const Path3& place, const DirFd& dir);
  /// Most names of most vservers: the skel has not changed them, and they are shared already or not to be. Counted; the
  /// rest of the table would say the same of them, after making their path.
  bool goes_on_as_it_is(const TreeNode* base, const TreeNode* theirs, const Listed& mine);
  /// One name; true if what stands there will be gone. `mine`: nullptr where nothing does.
  Result<bool> plan_child(const Path3& place, const DirFd& dir, const Listed* mine);
  bool plan_absent(const Path3& place);
  Result<bool> plan_common_directory(const Path3& place, const DirFd& parent, const Listed& mine);
  Result<bool> plan_removed_directory(const Path3& place, const DirFd& dir);
  /// A path at which something of the vserver's own stands in any case; false where it is to be planned as others are.
  Result<bool> is_vservers_own(const Path3& place, const DirFd& dir, const Listed* mine);
  /// The skel's static file changed or went, and the vserver's, which no relink touches, does not say the same already.
  Result<> look_at_static(const Path3& place, const DirFd& dir, const Listed& mine);
  /// The vserver has what it would have if it were made of theirs.
  Result<bool> has_filled(const TreeNode& theirs, const DirFd& dir, const Listed& mine);
  /// A rule says that it must be each vserver's own.
  [[nodiscard]] bool is_identity(const Path3& place) const;
  /// A closed descriptor where the tenant has put something else there, or something is mounted.
  Result<DirFd> enter(const DirFd& parent, Name name) const;
  /// Nothing passes through what stands there.
  void plan_blocked(const Path3& place);
  /// Directories in which steps were planned for a bundle, or for none (0), are to have theirs' times.
  void plan_times(std::uint32_t bundle);

  // --- plan_type_changes.cpp

  /// One of theirs and mine is a directory, the other is not.
  Result<bool> plan_type_change(const Path3& place, const DirFd& dir, const Listed& mine);
  /// A directory of the vserver's with all below it, against what it was.
  Result<bool> is_as_base(const TreeNode& base, const DirFd& dir);
  /// An entry of the tenant's own in a directory that becomes a link, and where it goes.
  struct OwnEntry {
    std::string from, to;
    Identity mine;
  };
  /// The directory of theirs that a link of theirs leads to; nullptr if it leads to none, or out of what they have.
  const TreeNode* directory_behind(const TreeNode& link) const;
  /// What is the tenant's own in `dir`, which was `base` and becomes a link to `target`. False where that can't follow:
  /// he changed what the skel had there, or a name is taken.
  Result<bool> find_own_entries(const TreeNode* base, const TreeNode* target, const DirFd& dir, const std::string& path,
                                std::vector<OwnEntry>& out);
  Result<bool> is_free(const TreeNode& target, Name name) const;
  void plan_moves(std::vector<OwnEntry> entries, const Path3& place);

  // --- plan_files.cpp

  Result<bool> plan_file(const Path3& place, const DirFd& dir, const Listed& mine);
  Result<bool> is_as_shared_as_can_be(const TreeNode& theirs, const DirFd& dir, Name name);
  Result<Place> place_of(const TreeNode& theirs, const Observed& observed, bool is_theirs);
  bool add_file_step(const Path3& place, const Decision& decision, const Observed& observed, Step step, bool is_theirs);
  [[nodiscard]] std::string name_beside(std::string_view name) const;
  /// Theirs of a configuration file that both sides changed, as NAME.dpkg-dist or NAME.rpmnew, if that is asked for and
  /// nothing stands there.
  Result<> lay_beside(const Path3& place, const DirFd& dir, const Decision& decision, const Observed& observed);
  /// A set-id file that stays as the tenant has it may be the hole that an update closed.
  Result<> look_at_set_id(const Path3& place, const DirFd& dir, const Listed& mine);
  void note(Observed& observed, Question& question, Step& step, const Path3& place);
  [[nodiscard]] bool is_to_be_shared(const TreeNode& theirs) const;
  [[nodiscard]] bool is_inode_of(const TreeNode& theirs, const Listed& mine) const;

  // --- plan_package_lists.cpp

  /// Of a file that is to be kept: true if it is a list that both sides changed, whose entries are merged; else it is
  /// one as any other.
  Result<bool> plan_package_list(const Path3& place, const DirFd& dir, const Listed& mine);

  // --- plan_alternatives.cpp

  /// Alternatives that the skel changed and the tenant, too: what becomes of their files and links, into alternatives_.
  Result<> look_at_alternatives(const DirFd& root);
  Result<> look_at_alternative(const Path3& file, const Path3& link, const DirFd& files, const DirFd& links);
  /// Of a path in alternatives_; true if what stands there will be gone.
  Result<bool> plan_alternative(const Path3& place, const DirFd& dir, const Listed* mine);

  // --- plan_bundles.cpp

  [[nodiscard]] bool is_bundle(const Path3& place) const;
  /// Of a bundle that the skel changed, by what the tenant made of it.
  struct BundleLook {
    bool as_base = true, as_theirs = true;
  };
  Result<bool> plan_bundle(const Path3& place, const DirFd& parent, const Listed& mine);
  Result<> look_at_bundle(const Path3& place, const DirFd& dir, BundleLook& look);
  Result<> look_at_entry(const Path3& place, const DirFd& dir, const Listed& mine, BundleLook& look);
  /// A bundle that its tenant has in use, and the packages that serve it: one that goes leaves him with a state that
  /// nothing reads, and tears the vserver; one that changes is told of.
  Result<> look_at_packages(const Path3& place);
  /// By what stat(2) says alone, for what the skel did not change.
  Result<bool> looks_touched(const Path3& place, const DirFd& dir) const;
  /// All of it stays.
  void keep_bundle(const Path3& place);
  /// The same after all.
  void drop_bundle(std::uint32_t bundle, const Path3& place);
  Result<bool> plan_untouched_bundle(const Path3& place, const DirFd& parent, const Listed& mine);

  // --- plan.cpp: what comes of it

  Question question_for(const Path3& place, Obstacle obstacle = Obstacle::none) const;
  /// As the table is to see it: without its time where times are not to count.
  Node timed(Node node) const;
  /// What the skel has there, and whose it is in this vserver, is as it was.
  [[nodiscard]] bool is_unchanged(const Path3& place) const;
  [[nodiscard]] bool is_unchanged_below(const Path3& place) const;
  /// A user whom the skel gave another number, with all that is its, has its own number in this vserver still.
  [[nodiscard]] bool is_same_by_numbers(const Path3& place) const;
  [[nodiscard]] bool in_database(std::string_view path) const;
  [[nodiscard]] bool is_frozen(const Path3& place) const;
  void add_step(const Path3& place, Step step);
  /// What a new subtree brings along.
  void count_shared_below(const TreeNode& node);
  /// Reports a decision and notes which base the path has from now on.
  void settle(const Path3& place, const Decision& decision);
  /// A conflict that hides other paths: with the gate open it is one of the whole vserver.
  void tear(const Path3& place, const Decision& decision);
  void stay_below(const Path3& place);
  void settle_groups();
  void keep_torn_group(const Step& step);

  const SkelView& view_;
  SkelFiles files_{view_};
  const Record& record_;
  const PlanOptions& options_;
  const Gate gate_;
  const MapIds map_ids_;
  SideOwners owners_;
  Observer observer_{view_, files_, owners_};
  OwnAccountFiles own_accounts_;
  bool are_accounts_read_ = false;
  std::optional<Accounts> accounts_here_;  ///< those that the vserver will have
  std::string unreadable_;                 ///< why nobody knows them
  bool accounts_stay_ = false;             ///< at the base that they have
  const std::vector<std::string> databases_;
  const SkelSides sides_;
  const DirFd* root_ = nullptr;
  std::uint64_t root_device_ = 0;
  bool has_subvolumes_ = false;
  std::uint32_t bundle_ = 0;  ///< under plan, as Step::bundle
  bool kept_in_bundle_ = false;
  VserverPlan plan_;
  PlannedSteps steps_;
  MovingBases bases_;
  std::set<std::string> acknowledged_;
  /// Paths -> a file's text, or where a link leads; nullopt: it goes.
  std::map<std::string, std::optional<std::string>, std::less<>> alternatives_;
  std::map<std::string, std::uint32_t> changed_directories_;  ///< in which steps were planned -> their bundle
};

}  // namespace vskel
