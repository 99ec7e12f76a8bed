#include "engine/vserver/adopt.h"

#include <algorithm>
#include <charconv>

#include "engine/accounts/follow.h"
#include "engine/seal/reflink.h"
#include "engine/seal/seal.h"
#include "engine/skel/account_files.h"
#include "engine/skel/skel.h"
#include "engine/skel/skel_to_change.h"
#include "engine/tree/listing.h"
#include "engine/txn/lock.h"
#include "engine/vserver/clock.h"
#include "engine/vserver/contexts.h"
#include "engine/vserver/instances.h"
#include "engine/vserver/tenants.h"

namespace vskel {

namespace {

/// The context whose link leads to the vserver; 0 if none does.
Result<std::uint32_t> context_of(const Store& store, const std::string& vserver) {
  if (!store.contexts().open()) return 0U;
  const DirFd contexts = TRY(sys::reopen(store.contexts()));
  const Listing listing = TRY(Listing::read(contexts));
  for (const Listed& listed : listing.entries()) {
    std::uint32_t context = 0;
    const std::string_view name = listed.name.view();
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), context);
    if (listed.type != sys::FileType::symlink || error != std::errc{} || end != name.data() + name.size()) continue;
    if (context < 2 || context > kHighestContext) continue;
    if (vserver_led_to(store, TRY(sys::read_link(contexts, listed.name))) == vserver) return context;
  }
  return 0U;
}

/// One skel's inodes have one seal: that of the vservers which share them already.
Result<SealKind> seal_for(const Store& store, const Skel& skel, const AdoptRequest& request) {
  if (request.share == Share::reflink && request.engine.dry_run == DryRun::no) TRY(require_reflinks(store.staging()));
  if (request.share != Share::hardlink) return SealKind::none;
  const auto records = TRY(read_records(skel));
  if (const auto recorded = recorded_seal(records)) return *recorded;
  if (request.engine.dry_run == DryRun::yes) return SealKind::immutable;
  const auto seal = TRY(choose_seal(store.staging(), std::nullopt));
  if (!seal)
    return fail("seal", store.paths().vservers,
                "no seal is to be had on this file system and kernel; use --share copy or reflink");
  return *seal;
}

/// By the names that the vserver has in common with the skel.
Result<IdMap> ids_by_names(const Store& store, const Skel& skel, const AdoptRequest& request) {
  const auto mapped = [&]() -> Result<NamedIds> {
    const Accounts theirs = TRY(Accounts::parse(TRY(read_static_accounts(skel)), skel.path() + "/static/"));
    const DirFd root = TRY(sys::open_dir(store.vservers(), request.name.name()));
    const std::string path = store.paths().vservers + "/" + request.name.text() + "/";
    return map_by_names(theirs, TRY(Accounts::parse(TRY(read_account_files(root)), path)), {});
  }();
  const auto& warn = request.engine.warn;
  if (!mapped) {
    if (warn) warn("users and groups are not compared with the skel's: " + mapped.error().line());
    return IdMap();
  }
  for (const std::string& line : mapped->kept)
    if (warn) warn(line);
  return mapped->ids;
}

}  // namespace

Result<Record> adopt_vserver(const Store& store, const AdoptRequest& request) {
  const bool dry_run = request.engine.dry_run == DryRun::yes;
  const SkelToChange opened = TRY(open_skel_to_change(store, request.skel, request.engine));
  const Skel& skel = opened.skel;
  std::optional<Lock> lock;
  if (!dry_run) lock = TRY(Lock::take(store, "vserver." + request.name.text(), request.engine.wait));
  const std::string path = store.paths().vservers + "/" + request.name.text();
  const auto stat = TRY(sys::stat_if_there(store.vservers(), request.name.name()));
  if (!stat || stat->type != sys::FileType::directory)
    return refuse("adopt vserver", request.name.text(), "there is no directory " + path);
  if (TRY(sys::is_mount_point(store.vservers(), request.name.name())))
    return refuse("adopt vserver", request.name.text(),
                  path + " is a mount point, and files are shared within one mount only; move them into a directory");
  if (const auto known = TRY(find_record(store, request.name)))
    return refuse("adopt vserver", request.name.text(), "it has a record already, from skel " + known->skel);
  Record record;
  record.name = request.name.text();
  record.skel = request.skel.text();
  if (request.fqdn) record.fqdn = request.fqdn->text();
  if (request.address) record.ip = request.address->text();
  record.context = TRY(context_of(store, request.name.text()));
  const std::string config = request.name.text() + ".conf";
  if (store.etc().open() && TRY(sys::stat_if_there(store.etc(), *Name::check(config))))
    record.config = store.paths().etc + "/" + config;
  record.generation = 0;
  record.share = request.share;
  record.seal = TRY(seal_for(store, skel, request));
  record.ids = TRY(ids_by_names(store, skel, request));
  record.created = utc_now();
  if (!dry_run) TRY(save_record(skel, record));
  return record;
}

}  // namespace vskel
