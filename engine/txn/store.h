// Where everything stands: the administrator's two directories, opened once, with vskel's own room below them.
//
// VSERVERS is opened in a clone of its mount, where no link is followed and no device opened (sys/mount_clone.h), and
// all that is below it with it.
//
// A Store is made at the start of a command and lives to its end. All members are safe to use from any thread.
#pragma once

#include <optional>
#include <string>

#include "engine/sys/error.h"
#include "engine/sys/fd.h"
#include "engine/sys/mount_clone.h"

namespace vskel {

/// The administrator's two directories, as he names them; symbolic links in them are followed.
struct StorePaths {
  std::string vservers = "/vservers";  ///< VSERVERS of cli.md
  std::string etc = "/etc/vservers";   ///< ETC of cli.md
};

/// Open directories, each its own descriptor, for as long as the Store lives. Movable; who keeps a pointer to it (an
/// Intent does) must not outlive it or see it moved.
class Store {
 public:
  /// Opens what is there; nothing is created and owners are not looked at. Fails if VSERVERS is not there (a reading
  /// command has nothing to read). Any other directory that is not there is an empty descriptor: ask its open() first.
  [[nodiscard]] static Result<Store> open_existing(const StorePaths& paths);
  /// The same for a dry run, where VSERVERS may be missing too: everything is closed then.
  [[nodiscard]] static Result<Store> open_whatever_is_there(const StorePaths& paths);
  /// Opens and creates what a changing command needs: VSERVERS (0700), VSERVERS/.skel (0755), VSERVERS/.vskel (0700)
  /// with journal, locks, staging, trash, quarantine, log; ETC, ETC/contexts, ETC/vskel, ETC/vskel/scripts (0755). What
  /// is there keeps its mode. Fails on directories of .vskel that are not root's or are writable by others.
  [[nodiscard]] static Result<Store> open_or_create(const StorePaths& paths);

  [[nodiscard]] const StorePaths& paths() const { return paths_; }
  /// Why VSERVERS is worked on as it is mounted, or in a clone that does not stop links: a line for the administrator.
  /// "" where there is nothing to tell.
  [[nodiscard]] const std::string& without_clone() const { return without_clone_; }
  [[nodiscard]] const DirFd& vservers() const { return vservers_; }
  [[nodiscard]] const DirFd& skels() const { return skels_; }      ///< VSERVERS/.skel
  [[nodiscard]] const DirFd& journal() const { return journal_; }  ///< VSERVERS/.vskel/journal
  [[nodiscard]] const DirFd& locks() const { return locks_; }
  [[nodiscard]] const DirFd& staging() const { return staging_; }
  [[nodiscard]] const DirFd& trash() const { return trash_; }
  [[nodiscard]] const DirFd& quarantine() const { return quarantine_; }
  [[nodiscard]] const DirFd& log() const { return log_; }
  [[nodiscard]] const DirFd& etc() const { return etc_; }
  [[nodiscard]] const DirFd& contexts() const { return contexts_; }  ///< ETC/contexts
  [[nodiscard]] const DirFd& own_etc() const { return own_etc_; }    ///< ETC/vskel
  [[nodiscard]] const DirFd& scripts() const { return scripts_; }    ///< ETC/vskel/scripts

 private:
  /// To be called when VSERVERS is open, before all below it.
  [[nodiscard]] Result<> clone_mount();

  StorePaths paths_;
  std::optional<sys::MountClone> clone_;
  std::string without_clone_;
  DirFd vservers_, skels_, journal_, locks_, staging_, trash_, quarantine_, log_, etc_, contexts_, own_etc_, scripts_;
};

}  // namespace vskel
