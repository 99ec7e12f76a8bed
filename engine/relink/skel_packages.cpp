#include "engine/relink/skel_packages.h"

#include <algorithm>
#include <array>

#include "engine/packages/dpkg_bookkeeping.h"

namespace vskel {

namespace {

constexpr std::array<std::string_view, 4> kScripts{".preinst", ".postinst", ".prerm", ".postrm"};
constexpr std::size_t kMostScript = std::size_t{1} << 20;

bool is_digit(char at) { return at >= '0' && at <= '9'; }

/// As a path of its own, and not the beginning of a longer one.
bool names_path(std::string_view text, const std::string& path) {
  const auto goes_on = [](char at) {
    const bool is_letter = (at >= 'a' && at <= 'z') || (at >= 'A' && at <= 'Z');
    return is_letter || is_digit(at) || at == '/' || at == '-' || at == '_' || at == '.';
  };
  for (std::size_t at = text.find(path); at != text.npos; at = text.find(path, at + 1)) {
    const std::size_t end = at + path.size();
    const bool slash_ends =
        end < text.size() && text[end] == '/' && (end + 1 == text.size() || !goes_on(text[end + 1]));
    const bool ends = end == text.size() || !goes_on(text[end]) || slash_ends;
    if (ends && (at == 0 || !goes_on(text[at - 1]))) return true;
  }
  return false;
}

bool is_called_after(std::string_view package, std::string_view name) {
  if (!package.starts_with(name)) return false;
  package.remove_prefix(name.size());
  if (package.empty() || package == "-server") return true;
  return package.size() > 1 && package.front() == '-' &&
         std::ranges::all_of(package.substr(1), [](char at) { return is_digit(at) || at == '.'; });
}

}  // namespace

Result<SkelPackages> SkelPackages::load(const SkelView& view, const GenerationTree& tree) {
  SkelPackages out;
  auto read = out.read(view, tree);
  if (read) return out;
  if (read.error().code != 0) return std::unexpected(std::move(read).error());
  SkelPackages unknown;
  unknown.doubt_ = read.error().line();
  return unknown;
}

Result<> SkelPackages::read(const SkelView& view, const GenerationTree& tree) {
  const auto status = TRY(view.text_of(tree.find(kDpkgStatus), kMaxDpkgStatus));
  if (!status || status->empty()) return {};
  const std::string source = "generation " + std::to_string(tree.generation()) + ", /var/lib/dpkg/";
  DpkgFileLists lists;
  const TreeNode* const info = tree.find(kDpkgInfo);
  for (const DpkgPackage& package : TRY(parse_dpkg_status(*status, source + "status"))) {
    if (package.state == DpkgState::not_installed || package.state == DpkgState::config_files) continue;
    versions_[package.name] = package.version;
    if (info == nullptr) continue;
    const std::string list_name = dpkg_list_name(package);
    if (const auto list = TRY(view.text_of(GenerationTree::child(*info, list_name), kMaxDpkgList)))
      TRY(lists.add(package.name, *list, source + "info/" + list_name));
    const std::string stem = list_name.substr(0, list_name.rfind('.'));
    for (const std::string_view script : kScripts) {
      const std::string name = stem + std::string(script);
      if (const auto text = TRY(view.text_of(GenerationTree::child(*info, name), kMostScript)))
        scripts_[package.name] += *text + "\n";
    }
  }
  files_ = std::move(lists).finish();
  return {};
}

std::vector<std::string> SkelPackages::servers(std::string_view directory) const {
  const std::string path = "/" + std::string(directory);
  const std::string_view name = directory.substr(directory.rfind('/') + 1);
  std::vector<std::string> out;
  for (const auto& [package, version] : versions_) {
    const auto script = scripts_.find(package);
    if (is_called_after(package, name) || (script != scripts_.end() && names_path(script->second, path)))
      out.push_back(package);
  }
  return out;
}

}  // namespace vskel
